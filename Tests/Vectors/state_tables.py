"""The two tables of section 5, cell by cell."""

from conversations import (
    Vector, accept, call, cancel, credit, error, finish, generate, goaway, health, ping, progress, reply, resume,
    some_tokens,
)  # fmt: skip
from encoder import encode


def server_states():
    """The first table of section 5: what a server does with a client's frame."""
    stages = {
        "unopened": [],
        "opened": [generate()],
        "accepted": [generate(), accept()],
        "cancelled": [generate(), accept(), cancel()],
        "cancelled before it was accepted": [generate(), cancel()],
        "asked": [call()],
        "asked and cancelled": [call(), cancel()],
        "closed by FINISH": [generate(), accept(), finish()],
        "closed by ERROR": [generate(), error()],
        "closed by REPLY": [call(), health()],
        "passed over": [generate(2)],
        "above GOAWAY's last stream": [goaway(0)],
    }
    opens = ["deliver"] + ["fail"] * 10 + ["ignore"]
    table = {
        "GENERATE": (generate(), opens),
        "RESUME": (resume(), opens),
        "CALL": (call(), opens),
        "CREDIT": (credit(), ["fail", "deliver", "deliver", "deliver", "deliver", "fail", "fail"] + ["ignore"] * 5),
        "CANCEL": (cancel(), ["fail", "deliver", "deliver", "ignore", "ignore", "deliver"] + ["ignore"] * 6),
    }  # fmt: skip
    for name, (meaning, reactions) in table.items():
        for (stage, before), reaction in zip(stages.items(), reactions, strict=True):
            vector = Vector("5", f"{name} on a stream that is {stage}", "server", *before)
            if reaction == "fail":
                vector.fails(encode(meaning))
            else:
                understood = meaning if reaction == "deliver" else None
                vector.receive(encode(meaning), reaction, meaning=understood, canonical="cancelled" not in stage)
            if reaction == "ignore":
                vector.frames(ping(), sender="client")
            yield vector


def client_states():
    """The second table: what a client does with a server's frame."""
    stages = {
        "unopened": [],
        "opened": [generate()],
        "accepted": [generate(), accept()],
        "cancelled": [generate(), accept(), cancel()],
        "asked": [call()],
        "closed by FINISH": [generate(), accept(), finish()],
        "closed by ERROR": [generate(), error()],
        "closed by REPLY": [call(), health()],
        "refused by GOAWAY": [generate(), goaway(0)],
    }
    never = ["fail"] * 4
    generation = ["fail", "fail", "deliver", "deliver", "fail"] + never
    table = {
        "ACCEPT": (accept(), ["fail", "deliver", "fail", "fail", "fail"] + never),
        "TOKENS": (some_tokens(), generation),
        "PROGRESS": (progress(), generation),
        "FINISH": (finish(reason=3), generation),
        "ERROR": (error(), ["fail", "deliver", "deliver", "deliver", "deliver"] + never),
        "REPLY": (health(), ["fail", "fail", "fail", "fail", "deliver"] + never),
    }
    for name, (meaning, reactions) in table.items():
        for (stage, before), reaction in zip(stages.items(), reactions, strict=True):
            vector = Vector("5", f"{name} on a stream that is {stage}", "client", *before)
            if reaction == "fail":
                vector.fails(encode(meaning))
            else:
                vector.frames(meaning)
            yield vector
