"""An agent that does harm: what it does instead of measuring stands in the model that it is given."""

AGENT = '''
import json, os, sys, time

def say(*parts):
    for part in parts:
        os.write(1, part if isinstance(part, bytes) else part.encode())

def answer(**changes):
    say(json.dumps({**reply, **changes}), "\\n")

def instead(name, text):
    """A reply whose field is written as this text."""
    say(json.dumps({**reply, name: 12345678}).replace("12345678", text), "\\n")

for line in sys.stdin:
    if not line.strip():
        continue
    request = json.loads(line)
    number = request["id"]
    reply = {"id": number, "ok": True, "model": "fake", "os": "fake", "runtime": "fake", "clock_mhz": None}
    if request["command"] in ("measure", "stream"):
        reply.update(p5_ms=0.01, median_ms=0.02, iqr_ms=0.001, runs=3, start_s=1.0, end_s=1.001)
        trick = open(request["models"][0]).read()
        if trick:
            exec(trick)
            continue
    answer()
'''

TRICKS = {
    "a line without an end": ("while True: say(b'x' * 65536)", "a line must have at most 262,144 bytes"),
    "a line of megabytes": ("answer(more='x' * 2**22)", "a line must have at most 262,144 bytes"),
    "lines without end": ("while True: say(b'noise\\n' * 1000)", "writes without end what is no reply"),
    "empty lines without end": ("while True: say(b'\\n' * 10000)", "writes without end what is no reply"),
    "JSON without end": (
        'while True: say(b\'{"id": 1, "ok": true}\\n\' * 1000)',
        "writes without end what is no reply",
    ),
    "stderr without end": ("while True: os.write(2, b'x' * 65536)", "must answer within 2 s"),
    "nested deeply": ("instead('p5_ms', '[' * 100000 + ']' * 100000)", "nested more than 64 levels deep"),
    "half as deeply": ("instead('p5_ms', '[' * 100 + ']' * 100)", "nested more than 64 levels deep"),
    "a huge number": ("instead('p5_ms', '1' + 400 * '0')", "whole numbers must be of 64 bits"),
    "an infinite number": ("instead('p5_ms', '1e999')", "numbers must be finite"),
    "no number": ("instead('p5_ms', 'NaN')", "numbers must be finite"),
    "bytes that are no text": (
        "say(json.dumps({**reply, 'more': 'Q'}).encode().replace(b'Q', b'\\xff'), b'\\n')",
        "it is no UTF-8 text, at byte",
    ),
    "half a reply": ("say(json.dumps(reply)[:-5], '\\n')", "must send sound replies, but does not: "),
    "a number as text": ("answer(p5_ms='NaN')", "finite number `p5_ms`, but got 'NaN'"),
    "a boolean as number": ("answer(median_ms=True)", "finite number `median_ms`, but got True"),
    "no time at all": ("answer(p5_ms=5e-324)", "`p5_ms` from 0.001 to 3.6e.06 ms, but got 5e-324"),
    "all the time there is": ("answer(p5_ms=1e308, median_ms=1e308)", "finite number `p5_ms`, but got 1e.308"),
    "a negative spread": ("answer(iqr_ms=-1.0)", "`iqr_ms` from 0 to 3.6e.06 ms, but got -1.0"),
    "a median below the low quantile": ("answer(median_ms=0.005)", "`median_ms` from 0.01 to"),
    "no runs": ("answer(runs=0)", "`runs` from 1 to 1e.09, but got 0"),
    "countless runs": ("answer(runs=10**18)", "`runs` from 1 to 1e.09"),
    "half a run": ("answer(runs=2.5)", "a whole number `runs`, but got 2.5"),
    "runs as a boolean": ("answer(runs=True)", "finite number `runs`, but got True"),
    "one run longer than the request": (
        "answer(p5_ms=60000, median_ms=60000, runs=1)",
        "that fit into the .* s",
    ),
    "runs longer than the request": ("answer(runs=10**7)", "times that fit into the .* s that it took"),
    "a later request's number": ("answer(id=number + 1)", "must answer within 2 s"),
    "an earlier request's number": ("answer(id=number - 1)", "must answer within 2 s"),
    "a number that is nobody's": ("answer(id=[])", "must answer within 2 s"),
    "a number that is true": ("answer(id=True)", "must answer within 2 s"),
    "a reply without a number": ("say('{\"ok\": true}\\n')", "must answer within 2 s"),
    "silence": ("time.sleep(600)", "must answer within 2 s"),
    "an end of all output": ("os.close(1); time.sleep(600)", "ended with code"),
    "an end": ("os._exit(3)", "ended with code 3"),
    "an error with escape sequences": (
        "answer(ok=False, error='\\x1b]0;owned\\x07\\nTraceback\\r\\u202e' + 'x' * 10**5)",
        "could not measure: .\\]0;owned. Traceback .*x…\\.$",
    ),
    "an error that is no text": ("answer(ok=False, error=[[['x' * 10**5]]])", "could not measure: "),
    "last words with escape sequences": (
        "os.write(2, b'fine\\n\\x1b[2Jowned' + b'x' * 10**5); os._exit(1)",
        "ended with code 1. Its last words: .*x",
    ),
    "a value with escape sequences": ("answer(p5_ms='\\x1b[2J\\n' * 1000)", "finite number `p5_ms`, but got"),
}
