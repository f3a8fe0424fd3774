"""What the vectors are made of: meanings that many of them need, and a conversation as one end sees it."""

from encoder import FROM_CLIENT, FROM_SERVER, U32_MAX, crc32c, encode

PREFACE = bytes.fromhex("894c4d430d0a1a0a")
TOKEN = "000102030405060708090a0b0c0d0e0f"
KEY = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"


def hello(**more):
    return {"frame": "HELLO", "stream": 0, "max_payload": 4_259_840, "agent": "example/1"} | more


def server_hello(**more):
    return {
        "frame": "HELLO", "stream": 0, "max_payload": 1_114_112, "agent": "lmserve/1", "keep_alive": 15_000,
        "resume_grace": 30_000,
    } | more  # fmt: skip


def max_streams(highest=128):
    return {"frame": "MAX_STREAMS", "stream": 0, "highest_stream": highest}


def generate(stream=1, **more):
    return {"frame": "GENERATE", "stream": stream, "credit": 64, "prompt": "hi"} | more


def accept(stream=1, **more):
    return {"frame": "ACCEPT", "stream": stream, "index": 0} | more


def some_tokens(stream=1, first=0, texts=("a", "b", "c"), **more):
    return {
        "frame": "TOKENS", "stream": stream, "first": first,
        "tokens": [{"id": first + n, "text": text} for n, text in enumerate(texts)],
    } | more  # fmt: skip


def finish(stream=1, text="", count=0, **more):
    usage = dict(
        prompt_tokens=1, cached_tokens=0, generated_tokens=count, recomputed=0, queue_time="1000", prefill_time="2000",
        decode_time="3000",
    )  # fmt: skip
    crc = crc32c(text.encode())
    return {"frame": "FINISH", "stream": stream, "reason": 1, "tokens": count, "crc32c": crc} | usage | more


def error(stream=1, code="OVERLOADED", **more):
    return {"frame": "ERROR", "stream": stream, "code": code, "message": "why"} | more


def health(stream=1, status=1):
    return reply(stream, status=status, version="1.0", uptime="5000")


def call(stream=1, method="health", **more):
    return {"frame": "CALL", "stream": stream, "method": method} | more


def reply(stream=1, method="health", **more):
    return {"frame": "REPLY", "stream": stream, "method": method} | more


def credit(stream=1, limit=128, consumed=0):
    return {"frame": "CREDIT", "stream": stream, "limit": limit, "consumed": consumed}


def cancel(stream=1, reason=1):
    return {"frame": "CANCEL", "stream": stream, "reason": reason}


def resume(stream=1, **more):
    return {"frame": "RESUME", "stream": stream, "resume_token": TOKEN, "index": 0, "credit": 64} | more


def progress(stream=1, **more):
    return {"frame": "PROGRESS", "stream": stream, "phase": 1, "done": 0, "total": 0} | more


def goaway(last_stream, **more):
    return {"frame": "GOAWAY", "stream": 0, "last_stream": last_stream, "grace": 10_000, "reason": 15} | more


def ping(frame="PING", data="0102030405060708"):
    return {"frame": frame, "stream": 0, "data": data}


class Vector:
    """What one end receives, what it sends, what it must do."""

    def __init__(self, section, name, end, *frames, greeted=True):
        self.end = end
        self.steps = []
        self.last_opened = 0
        self.json = {"name": name, "section": section, "end": end, "greeted": greeted, "steps": self.steps}
        self.frames(*frames)

    def greet(self, client=None, server=None, highest=128):
        client = client or hello()
        self.step("client", PREFACE + encode(client), client)
        self.frames(server or server_hello(), max_streams(highest), sender="server")
        return self

    def frames(self, *meanings, sender=None):
        """Frames that both ends may send and must understand."""
        for meaning in meanings:
            who = sender or self.sender(meaning)
            self.step(who, encode(meaning), meaning)
        return self

    def sender(self, meaning):
        frame = meaning["frame"]
        if frame in FROM_CLIENT:
            return "client"
        assert frame in FROM_SERVER or frame == "ERROR", frame
        return "server"

    def step(self, sender, data, meaning):
        if sender == self.end:
            self.steps.append({"out": data.hex(), "meaning": meaning})
        else:
            self.receive(data, "deliver", meaning=meaning, canonical=self.is_next(meaning))

    def is_next(self, meaning):
        """Whether a client that numbers its streams one by one could send this here."""
        if meaning["frame"] not in ("GENERATE", "RESUME", "CALL"):
            return True
        self.last_opened += 1
        return meaning["stream"] == self.last_opened

    def receive(self, data, reaction, code=None, meaning=None, canonical=True):
        """Bytes from the peer, and what they call for."""
        step = {"in": data.hex(), "reaction": reaction}
        if code:
            step["code"] = code
        if meaning:
            step["meaning"] = meaning
        if not canonical:
            step["canonical"] = False
        self.steps.append(step)
        return self

    def fails(self, data, code="PROTOCOL"):
        return self.receive(data, "fail", code)

    def rejects(self, data, code="INVALID"):
        return self.receive(data, "reject", code)

    def delivers(self, data, meaning):
        """Bytes that an encoder of ours would not make, and which must be understood."""
        return self.receive(data, "deliver", meaning=meaning, canonical=False)
