"""The groups in which `--help` of each script shows its options, and the examples above them.

A test holds that each option of each script is in one group. A new option goes where a reader would look for it: into
the first list of its group where most users need it (`--help` shows these), else into the second (`--help-all`).
"""

from __future__ import annotations

from scripts.interface.help_text import HelpPage, group

PARETO_SEARCH = HelpPage(
    examples=(
        ("", "scikit-learn's digits on this machine: nothing to download"),
        ("--dataset photos --out runs/photos", "a folder with one folder of images for each class"),
        ("--dataset photos --device ssh://pi@raspberrypi.local", "measured on a Raspberry Pi"),
        ("--resume runs/photos", "after an interruption"),
    ),
    groups=(
        group(
            "data",
            "dataset",
            "train-split test-split image-column label-column resize skip-broken flip augment balanced",
        ),
        group("space", "space size", "weight-sharing"),
        group("board", "device meter cost-table measure", "board-patience"),
        group("how the board runs networks", "", "configurations threads frequency-mhz precision runtime"),
        group("what is looked for", "error max-latency-ms max-energy-mj max-params", "energy period-ms"),
        group(
            "budget",
            "minutes generations population pretrain-epochs",
            "samples supernet-generations candidates proposals propose-beside theta-steps theta-batch pretrain-lr "
            "pretrain-batch paths-per-step train-precision",
        ),
        group("method", "method adaptive", "asynchronous independent loss alpha beta gamma delta entropy-weight seed"),
        group("earlier runs", "resume from"),
        group(
            "cluster",
            "workers",
            "gpus-per-worker address threads-per-worker searches-per-worker deterministic dashboard",
        ),
        group("output", "out quiet", "front-size"),
    ),
)
PROFILE_DEVICE = HelpPage(
    examples=(
        ("--device ssh://pi@raspberrypi.local --space fbnet-cifar --out pi.json", "a Raspberry Pi, once and for all"),
        ("--device ssh://pi@raspberrypi.local --configurations base", "one thread in fp32 alone: quicker"),
        ("--list-meters", "which energy meters are here"),
    ),
    groups=(
        group("board", "device meter list-meters"),
        group("space", "space size"),
        group("how the board runs networks", "configurations threads frequency-mhz precision runtime"),
        group("budget", "like networks passes seed fresh"),
        group("output", "out quiet"),
    ),
)
SETUP_BOARD = HelpPage(
    examples=(
        ("ssh://pi@raspberrypi.local", "a Raspberry Pi with internet"),
        ("ssh://pi@raspberrypi.local --wheels wheels", "one without (docs/boards.md)"),
    ),
    groups=(group("board", "device runtime wheels python"), group("output", "quiet")),
)
_RECIPE = group(
    "recipe",
    "",
    "batch-size lr momentum weight-decay warmup-fraction label-smoothing average-decay augment balanced cutout mixup "
    "precision deterministic",
)
_CLUSTER = group("cluster", "workers", "gpus-per-worker threads-per-worker address dashboard")
TRAIN_FRONT = HelpPage(
    examples=(
        ("runs/photos --epochs 10 --fine-tune", "from the inherited weights: sooner good"),
        ("runs/photos --epochs 60 --fresh", "all anew, from scratch"),
        ("runs/photos --only 028302830 --minutes 5", "one network, for a time"),
    ),
    groups=(
        group("run", "run only near fresh", "dataset measure"),
        group("budget", "epochs minutes fine-tune"),
        _RECIPE,
        _CLUSTER,
        group("output", "quiet"),
    ),
)
ADAPT_FRONT = HelpPage(
    examples=(
        ("runs/photos", "after train_front.py: exits for all trained networks of the front"),
        ("runs/photos --only 028302830 --max-exits 1", "one network, one exit"),
        ("runs/photos --precision fp32 --energy gross", "other configurations, another energy"),
        ("runs/photos --joint-epochs 0 --no-measure", "the quickest look at what exits would gain"),
    ),
    groups=(
        group("run", "run only fresh", "dataset measure images"),
        group("exits", "max-exits max-slowdown", "inner"),
        group("how the board runs networks", "", "threads frequency-mhz precision runtime"),
        group("what is looked for", "", "energy period-ms"),
        group("budget", "exit-epochs joint-epochs"),
        _CLUSTER,
        group("output", "quiet"),
    ),
)
COMPARE_BASELINES = HelpPage(
    examples=(
        ("runs/photos", "all baselines, by the recipe of the front"),
        ("runs/photos --only efficientnet-lite0-pretrained", "the pre-trained one alone"),
        ("runs/photos --pretrained timm:mobilenetv3_small_100.lamb_in1k", "one of timm's"),
        ("runs/photos --only mobilenet-v2-0.35 --minutes 5", "one of them, for a time"),
    ),
    groups=(
        group("run", "run only pretrained fresh", "dataset measure"),
        group("budget", "epochs minutes pretrained-minutes"),
        _RECIPE,
        _CLUSTER,
        group("output", "quiet"),
    ),
)
SELECT_NETWORK = HelpPage(
    examples=(
        ("runs/photos --max-latency-ms 5", "the most accurate within a limit"),
        ("runs/photos --knee", "the one where the front bulges most"),
        ("runs/photos --adaptive --max-latency-ms 5", "with early exits"),
    ),
    groups=(
        group("run", "run"),
        group("choice", "max-latency-ms max-energy-mj max-error knee"),
        group("early exits", "adaptive worst-case"),
        group("how the board runs it", "threads frequency-mhz precision runtime"),
        group("output", "json"),
    ),
)
EXPORT_LITERT = HelpPage(
    examples=(
        ("runs/photos", "all networks of a run"),
        ("runs/photos/front/028302830", "one of them"),
    ),
    groups=(group("what is exported", "folder"),),
)
PUSH_FRONT = HelpPage(
    examples=(
        ("runs/photos --repo anna/photos-front", "to the Hugging Face hub, as your token may (`hf auth login`)"),
        ("runs/photos --repo anna/photos-front --folder out", "the same as a folder, nothing uploaded"),
    ),
    groups=(group("what is published", "run repo license"), group("where to", "private folder")),
)
PARETO_PAGE = HelpPage(
    examples=(
        ("", "the runs in `runs`, at http://127.0.0.1:8500"),
        ("--boards ssh://pi@raspberrypi.local --datasets photos", "searches on these may be started, too"),
    ),
    groups=(group("what is shown", "runs port"), group("what may be started", "boards datasets")),
)
TRAIN_ARCHITECTURE = HelpPage(
    examples=(
        ("--architecture fbnet-b --dataset cifar10 --out fbnet-b", "a published network"),
        ("--resume fbnet-b", "after an interruption"),
    ),
    groups=(
        group("network", "architecture space size weights"),
        group("data", "dataset", "train-split test-split image-column label-column resize skip-broken flip"),
        group("budget", "epochs minutes resume"),
        group(_RECIPE.title, "batch-size lr", " ".join([*_RECIPE.more[2:], "seed"])),
        group("output", "out quiet"),
    ),
)
TRY_COEFFICIENTS = HelpPage(
    examples=(
        ("runs/photos --coefficients 0.2 1 0 0.5", "searched on the run's supernet"),
        ("runs/photos --coefficients 0.2 1 0 0.5 --surrogate", "answered at once"),
    ),
    groups=(
        group("run", "run", "dataset"),
        group("what is tried", "coefficients configuration surrogate"),
        group("output", "json"),
    ),
)
SAMPLE_ARCHITECTURES = HelpPage(
    examples=(
        ("runs/photos --trial 3 --count 10", "the ten most probable ones"),
        ("runs/photos --trial 3 --seed 0", "drawn by theta's probabilities"),
    ),
    groups=(group("run", "run trial"), group("choice", "count seed"), group("output", "json out")),
)
DESCRIBE = HelpPage(
    examples=(
        ("--space fbnet-cifar", "a space"),
        ("--space fbnet-imagenet --architecture fbnet-a", "a network, layer by layer"),
    ),
    groups=(group("network", "space architecture size classes"), group("output", "json")),
)
