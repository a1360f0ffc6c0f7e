"""Searches of the page: started, found wherever they were started, stopped, gone on with, and listened to.

processes  who works in a run folder, known for sure, and asked to stop
states     whether a run is going on, has ended, was interrupted or failed
estimate   how long a search would take, by one like it that has ended
form       what may be asked for, and a posted form as checked settings
starting   the program that searches, as one of its own
routes     what is asked of all that, by address
stream     what happens in a run, as it happens
"""
