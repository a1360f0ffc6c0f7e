"""Cost tables: how well they predict, and what it is worth that they were measured.

prediction  how well cost tables predict networks that they were not made from (a script)
few_shot    how well ten measured networks adapt another board's table (a script)
macs        searches by measured costs against searches by multiply-accumulates (a script)
"""
