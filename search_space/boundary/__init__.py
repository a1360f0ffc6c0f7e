"""Where the project meets files and texts of others: what comes in is bounded, what goes out does no harm.

text     outside text as one safe line for a terminal, Markdown or HTML; outside values and errors for messages
machine  cores and memory that this process may use: limits of Slurm and containers count
locking  locks of open files
reading  files, JSON and YAML with bounds on size, nesting and numbers; whatever is wrong is one `ValueError`
records  frozen records from plain values, each checked against its annotation
sealing  our own files with a digest within them, so that damage is named
writing  files that are there whole or not at all, never through a link; files that lock
"""
