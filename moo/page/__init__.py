"""The page: start searches, watch them, explore what they found. Start with `app.page_app`.

It is a server of its own, which reads run folders and starts searches as programs; none of them depends on it.

settings   what the server was told at its start
server     listening, and what is printed then
app        all routes
guard      who may ask: token, host, origin, and what browsers may load
assets     the files that make the page, and their import map
folders    the run folders below one folder
runs_view  all of them in a list, and a few compared
searches   started, stopped, gone on with, listened to
opened     runs as their folders have them, opened once to be looked at
front_view     what is told of a front
network_view   what is told of one network
network_files  its files, which may be downloaded
coefficients_view  what is told of coefficients, trials and their inner searches
dials          networks that the surrogate of a run gives for coefficients
tries          coefficients that are tried by hand on the supernet
board_view     what is told of boards
answers    JSON that is sent
"""
