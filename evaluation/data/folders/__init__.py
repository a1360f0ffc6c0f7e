"""What a folder that a user names is: which split and class each picture belongs to. Start with `layouts`.

layouts        which split and class each picture of a folder belongs to
listing        what lies in a folder
roles          which published split trains and which tests
tables         tables of pictures and labels in files
files          pictures in files of their own
twins          pictures that come more than once
"""
