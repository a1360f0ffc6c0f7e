"""The page beside a search, and in a browser.

at_rest  a script: what the page's server takes of a core while a search goes on
front    a script: how soon the Front page shows a large run, and follows a slider
"""
