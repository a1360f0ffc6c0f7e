"""The outer loop: NSGA-II over loss coefficients, Ray workers, archive, store, plots.

config        what a run is made of, and the checks on it
genomes       what is evolved: tuples of coefficients, architectures
evolution     NSGA-II by ask and tell, by generations or one at a time
steering      many tuples on a surrogate of accuracy, and the choice of what to evaluate
proposers     what a search tries next: NSGA-II over tuples, and its rivals
steering      many tuples at once on a surrogate of accuracy, and the choice of what to evaluate
jobs          what the outer loop has done for it: one tuple, one architecture, one deliverable
workbench     does these jobs, and pre-training
workers       the same under Ray (the only module that imports Ray)
retrain_config, finished_run, trainings  what training a run's front is made of
retraining    trains, exports, checks and measures networks of a run
retrained_outputs  files, cards and curves of trained networks
baselines     published networks, trained and measured like the front
trained       networks trained for deployment, and baselines
archive       all evaluated architectures, their costs, the front
indicators    non-dominated sets and hypervolume
rank_correlation  Kendall's tau with its interval
boards        what a run's `--device` stands for
front_measuring  measures the networks of the front, and corrects the cost table by them
measuring     measures networks on a board, in turns with the search or beside it
store, schema  SQLite: what resume, plots and reports read
run_folder    paths of a run folder; creating and resuming
events        what happens in a run, for whoever looks on
search        the whole job (start here)
starting_points  what inner searches start from: cost table, supernet
clock         the time that a search may take
preparation   everything that a run needs, checked before anything is written
outputs       front.json and front/<id>/
card          card.md: what someone needs who deploys a network
selection     one network of a front: the most accurate within limits, or the knee
plots         all pictures of a run
recipes       how trained networks were trained, and which of them compare
comparison    baselines against the front
front_networks, front_marks  what pictures of the front show, and how it is marked
front_plots, front_space_plot  pictures of the front: error against latency, projections, 3-D
trained_plots  pictures of training: the supernet's ranking put to the test, int8 against fp32
search_plots  pictures of the search: coefficients, hypervolume, theta
architecture_plot  the front's architectures, layer by layer
training_plot loss and accuracy of a training
markdown      tables and lists in Markdown
plot_style, plot_labels, quantities  looks, labels that do not overlap, numbers with units and sources
report        report.md
report_networks, report_conduct  its sections: front, files, baselines, trust in the supernet; conditions, cost, splits
report_html   report.html
board_profiles, profile_config, profile_plot  profiles of boards as files, and their picture
tensorboard   the run as TensorBoard events
"""
