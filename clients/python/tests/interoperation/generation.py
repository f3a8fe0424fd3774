"""Generations: tokens, credit, cancellation, deadlines, and what a request may ask for."""

from __future__ import annotations

import threading

from typing import Any

from lmcall import Code, Finish, LMError, Message, TokenStream, wire
from lmcall.connection import Failed, Finished
from lmcall.messages import EMBED, encode_call

from .session import Skip, Target, Wrong, expect_error, require

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_end": True}


def ended(stream: TokenStream, reason: str) -> Finish:
    """How the stream ended, which must be so."""
    finish = stream.finish
    if finish is None or finish.reason != reason:
        raise Wrong(f"ends as {finish} instead of {reason}")
    return finish


def one_token(target: Target) -> None:
    with target.client() as client:
        stream = client.generate("Hello", max_tokens=1, **GREEDY)
        require(len(list(stream)) == 1, "not one token")
        ended(stream, "length")


def long_stream(target: Target) -> None:
    with target.client() as client:
        tokens = list(client.generate("Hello", max_tokens=200, **GREEDY))
        require([token.index for token in tokens] == list(range(200)), "indexes are not 0 to 199")


def large_prompt(target: Target) -> None:
    with target.client() as client:
        room = client.models()[0].context_length
        stream = client.generate([1] * (room - 2), max_tokens=1, **GREEDY)
        require(len(list(stream)) == 1, "a prompt that just fits is not answered")
        for prompt in ([1] * (room + 1), "x" * (1_048_576 + 1)):
            expect_error(Code.TOO_LARGE, client.generate(prompt, max_tokens=1).text)
        require(client.health().status == "ready", "the server suffered")


def streams_interleaved_100(target: Target) -> None:
    with target.client() as client:
        alone = [client.generate(f"Number {n}", max_tokens=6, **GREEDY).text() for n in range(3)]
        streams = [client.generate(f"Number {n}", max_tokens=6, **GREEDY) for n in range(100)]
        texts = ["" for _ in streams]
        for _ in range(6):
            for n, stream in enumerate(streams):
                texts[n] += next(stream).text
        require(all(next(stream, None) is None for stream in streams), "a stream goes on")
        require(texts[:3] == alone, f"{texts[:3]} in company, {alone} alone")


def streams_of_two_threads(target: Target) -> None:
    with target.client() as client:
        texts: list[str] = []

        def ask() -> None:
            texts.append(client.generate("Hello", max_tokens=8, **GREEDY).text())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(len(texts) == 8 and len(set(texts)) == 1, texts)


def credit_zero_start(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=0)
        session.accepted(stream)
        session.nothing_but_pong(stream)
        session.connection.grant(stream, 3, 0)
        session.tokens(stream, 3)
        session.nothing_but_pong(stream)
        session.connection.grant(stream, 100, 3)
        session.tokens(stream, 5)
        session.finish(stream)


def credit_one_at_a_time(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=1)
        session.accepted(stream)
        for index in range(8):
            session.tokens(stream, 1)
            session.connection.grant(stream, index + 2, index + 1)
        session.finish(stream)


def credit_shrinking_is_ignored(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=0)
        session.accepted(stream)
        for limit in (4, 2, 0, 4):
            session.send(wire.frame(wire.Kind.CREDIT, stream, limit.to_bytes(4, "little") + bytes(4)))
        session.connection._streams[stream].limit = 4
        session.tokens(stream, 4)
        session.nothing_but_pong(stream)


def consumption_beyond_what_was_sent(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=2)
        session.tokens(stream, 2)
        session.send(wire.frame(wire.Kind.CREDIT, stream, b"\4\0\0\0\3\0\0\0"))
        expect_error(Code.PROTOCOL, lambda: session.finish(stream))


def a_reader_without_credit_delays_nobody(target: Target) -> None:
    with target.client() as client:
        idle = [client.generate("Hello", window=0, max_tokens=8, **GREEDY) for _ in range(4)]
        require(len(list(client.generate("Hello", max_tokens=8, **GREEDY))) == 8, "the other one starves")
        for stream in idle:
            stream.close()


def cancel_before_first_token(target: Target) -> None:
    with target.client() as client:
        stream = client.generate("Hello", window=0, **GREEDY)
        stream.wait_until_accepted()
        stream.cancel()
        require(list(stream) == [], "tokens without credit")
        require(ended(stream, "cancelled").tokens == 0, "tokens without credit")


def cancel_before_accept(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=0)
        session.connection.cancel(stream)
        try:
            require(session.finish(stream).finish.reason == "cancelled", "another end than cancelled")
        except LMError as error:
            require(error.code == Code.CANCELLED, error)


def cancel_after_first(target: Target) -> None:
    with target.client() as client:
        stream = client.generate("Hello", window=1, max_tokens=200, **GREEDY)
        next(stream)
        stream.cancel()
        list(stream)
        require(ended(stream, "cancelled").tokens <= 2, "more tokens than credit")


def cancel_twice_and_after_the_end(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=0)
        session.accepted(stream)
        for _ in range(2):
            session.send(wire.frame(wire.Kind.CANCEL, stream, b"\1\0\0\0"))
        session.finish(stream)
        session.send(wire.frame(wire.Kind.CANCEL, stream, b"\1\0\0\0"))
        session.round_trip()


def cancel_unknown(target: Target) -> None:
    with target.session() as session:
        session.send(wire.frame(wire.Kind.CANCEL, 77, b"\1\0\0\0"))
        expect_error(Code.PROTOCOL, session.round_trip)


def cancel_frees_the_place(target: Target) -> None:
    """More streams than are allowed at a time, one after the other, on one connection."""
    with target.session() as session:
        for _ in range(200):
            stream = session.generate(credit=1)
            session.tokens(stream, 1)
            session.connection.cancel(stream)
            session.finish(stream)


def deadline(target: Target) -> None:
    with target.client() as client:
        expect_error(Code.DEADLINE, client.generate("Hello", window=0, timeout=0.2, **GREEDY).text)
        stream = client.generate("Hello", window=2, timeout=0.5, max_tokens=200, **GREEDY)
        require(len([next(stream), next(stream)]) == 2, "")
        require(client.health().status == "ready", "the server suffered")


def deadline_of_the_first_token(target: Target) -> None:
    with target.client() as client:
        expect_error(Code.DEADLINE, client.generate("x " * 200, first_token_timeout=0.001, max_tokens=1).text)


def deadline_beyond_the_servers(target: Target) -> None:
    with target.client() as client:
        expect_error(Code.INVALID, client.generate("Hello", timeout=4_000_000).text)


def utf8(target: Target) -> None:
    """Text is whole characters, token by token, and survives both ways."""
    with target.client() as client:
        for text in ("é", "你好", "😀 👩‍👩‍👧", "a\0b", "\ufeffx", "\U0010ffff", "ﷺ" * 50):
            require(client.detokenize(client.tokenize(text)) == text, f"{text!r} comes back otherwise")
        for token in client.generate("你好 😀", max_tokens=64, **GREEDY):
            token.text.encode()
        stream = client.generate("😀", max_tokens=64, temperature=1.5, seed=3)
        require(stream.text() is not None and stream.finish, "")


def stop_strings(target: Target) -> None:
    with target.client() as client:
        whole = client.generate("Hello", max_tokens=64, **GREEDY).text()
        for start, length in ((5, 1), (9, 3), (20, 6)):
            stop = whole[start : start + length]
            require(stop, f"too little text to stop at: {whole!r}")
            stream = client.generate("Hello", max_tokens=64, stop=["\1never\1", stop], **GREEDY)
            require(stream.text() == whole[: whole.index(stop)], f"not stopped at {stop!r}")
            ended(stream, "stop")


def stop_tokens(target: Target) -> None:
    """They are sent, without text of their own."""
    with target.client() as client:
        whole = list(client.generate("Hello", max_tokens=32, **GREEDY))
        stop = whole[5].id
        place = [token.id for token in whole].index(stop)
        stream = client.generate("Hello", max_tokens=32, stop_tokens=[stop], **GREEDY)
        tokens = list(stream)
        ended(stream, "stop")
        require([token.id for token in tokens] == [token.id for token in whole[: place + 1]], "stops elsewhere")
        before = "".join(token.text for token in whole[:place])
        require("".join(token.text for token in tokens).startswith(before), "text is missing")


def usage_exact(target: Target) -> None:
    with target.client() as client:
        ids = client.tokenize("One two three")
        stream = client.generate(ids, max_tokens=9, **GREEDY)
        count = len(list(stream))
        finish = ended(stream, "length")
        if (usage := finish.usage) is None:
            raise Wrong("FINISH has no usage")
        require(usage.prompt_tokens == len(ids), f"{usage.prompt_tokens} prompt tokens of {len(ids)}")
        require(count == finish.tokens == usage.generated_tokens == 9, f"{count}, {finish}")
        require(usage.cached_tokens <= usage.prompt_tokens and usage.recomputed == 0, usage)


def seed_same(target: Target) -> None:
    with target.client() as client:
        def ask(**options: Any) -> tuple[TokenStream, list[int]]:
            stream = client.generate("Hello", max_tokens=24, temperature=1.0, ignore_end=True, **options)
            return stream, [token.id for token in stream]

        (one, ids), (_, again), (_, other) = ask(seed=2**64 - 1), ask(seed=2**64 - 1), ask(seed=5)
        require(ids == again, "the same seed gives other tokens")
        require(ids != other, "another seed gives the same tokens")
        require(one.accept and one.accept.seed == 2**64 - 1, one.accept)
        chosen, first = ask()
        seed = ended(chosen, "length").seed
        require(seed is not None, "FINISH names no seed")
        require(ask(seed=seed)[1] == first, "the seed of FINISH gives other tokens")


def logprobs(target: Target) -> None:
    with target.client() as client:
        for count in (0, 3, 20):
            for token in client.generate("Hello", max_tokens=6, logprobs=count, **GREEDY):
                require(len(token.logprobs) == count + 1, f"{len(token.logprobs)} entries for {count} alternatives")
                require(token.logprobs[0].token == token.id, "the first entry is another token")
                likely = [entry.logprob for entry in token.logprobs[1:]]
                require(likely == sorted(likely, reverse=True), "not in falling order")
                require(count == 0 or token.logprobs[1].token == token.id, "greedy takes another than the likeliest")
        require(all(not token.logprobs for token in client.generate("Hello", max_tokens=2, **GREEDY)), "unasked")


def raw_and_ids_are_the_same(target: Target) -> None:
    with target.client() as client:
        text = client.generate("Once upon", raw=True, max_tokens=12, **GREEDY).text()
        require(client.generate(client.tokenize("Once upon"), max_tokens=12, **GREEDY).text() == text, "ids differ")


def embeddings(target: Target) -> None:
    with target.client() as client:
        ids = client.tokenize("One two three")
        last, mean = (client.embed(ids, pooling=pooling) for pooling in ("last", "mean"))
        require(last.prompt_tokens == mean.prompt_tokens == len(ids), (last.prompt_tokens, mean.prompt_tokens))
        require(len(last.vector) == len(mean.vector) > 0 and last.vector != mean.vector, "the poolings are the same")
        require(client.embed("One two three") == last, "a text's embedding is not that of its ids")
        unit = client.embed(ids, pooling="mean", normalize=True).vector
        require(abs(sum(x * x for x in unit) - 1) < 1e-4, "not of length 1")
        room = client.models()[0].context_length
        expect_error(Code.TOO_LARGE, lambda: client.embed([1] * (room + 1)))
        expect_error(Code.INVALID, lambda: client.embed([]))
        expect_error(Code.NOT_FOUND, lambda: client.embed("x", model="no such model"))


def embeddings_of_many_threads(target: Target) -> None:
    with target.client() as client:
        alone = client.embed("Number 7", pooling="mean")
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.append(client.embed("Number 7", pooling="mean"))) for _ in range(16)
        ]
        stream = client.generate("Hello", max_tokens=24, **GREEDY)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(len(list(stream)) == 24, "the generation beside them is not whole")
        require(found == [alone] * 16, "company changes an embedding")


def an_embedding_is_cancelled(target: Target) -> None:
    with target.session() as session:
        for _ in range(20):
            stream = session.connection.call(EMBED, encode_call(EMBED, prompt=[1] * 40))
            session.connection.cancel(stream)
            try:
                session.reply(stream)
            except LMError as error:
                require(error.code == Code.CANCELLED, error)
        session.round_trip()


def one_message_is_a_conversation(target: Target) -> None:
    with target.client() as client:
        text = client.generate("Hello", max_tokens=12, **GREEDY).text()
        conversation = [Message("user", "Hello")]
        require(client.generate(conversation, max_tokens=12, **GREEDY).text() == text, "a message differs")


def tools_and_arguments(target: Target) -> None:
    """What the template is told beside the messages is in the prompt, and never a special token of it."""
    with target.client() as client:
        tool = {"type": "function", "function": {"name": "weather", "description": "of a <|im_end|> é"}}
        called = [
            Message("user", "Paris?"),
            Message("assistant", "", {"tool_calls": [{"id": "1"}]}),
            Message("tool", "21", {"tool_call_id": "1"}),
        ]
        try:
            whole = client.tokenize(called, tools=[tool], template_arguments={"note": "n"})
        except LMError as error:
            if "does not use tools" in error.message:
                raise Skip(error.message) from None
            raise
        plain = client.tokenize([Message(message.role, message.content) for message in called])
        require(len(whole) > len(plain), "tools, calls and arguments leave no trace")
        stream = client.generate(called, tools=[tool], template_arguments={"note": "n"}, max_tokens=1, **GREEDY)
        list(stream)
        usage = ended(stream, "length").usage
        require(usage and usage.prompt_tokens == len(whole), f"{usage} for {len(whole)} tokens")
        list(client.generate("Paris?", tools=[tool], max_tokens=1, **GREEDY))
        for options in (
            {"prompt": "a", "raw": True, "tools": [tool]},
            {"prompt": [1], "template_arguments": {"note": "n"}},
            {"prompt": "a", "template_arguments": {"messages": []}},
            {"prompt": [Message("user", "a", {"role": "system"})]},
            {"prompt": "a", "tools": [1]},
        ):
            prompt: Any = options.pop("prompt")
            expect_error(Code.INVALID, client.generate(prompt, max_tokens=1, **options).text)
        expect_error(Code.INVALID, lambda: client.tokenize("a", tools=[tool]))


def min_tokens(target: Target) -> None:
    with target.client() as client:
        whole = [token.id for token in client.generate("Hello", max_tokens=16, **GREEDY)]
        stream = client.generate("Hello", max_tokens=16, min_tokens=16, stop_tokens=whole, **GREEDY)
        require(len(list(stream)) == 16, "stopped before the fewest tokens")


def model_by_name(target: Target) -> None:
    with target.client() as client:
        name = client.models()[0].name
        stream = client.generate("Hello", model=name, max_tokens=1)
        list(stream)
        require(stream.accept and stream.accept.model == name, stream.accept)
        expect_error(Code.NOT_FOUND, client.generate("Hello", model="no such model", max_tokens=1).text)


def every_stream_ends_once(target: Target) -> None:
    """Cancels that race the end: whatever wins, one end comes and the connection lives."""
    with target.session() as session:
        for n in range(100):
            stream = session.generate(max_tokens=1 + n % 3)
            if n % 2:
                session.accepted(stream)
            session.connection.cancel(stream)
            try:
                session.finish(stream)
            except LMError as error:
                require(error.code == Code.CANCELLED, error)
        session.round_trip()
        require(not any(isinstance(event, (Finished, Failed)) for event in session._waiting), "another end")


CASES = [
    one_token, long_stream, large_prompt, streams_interleaved_100, streams_of_two_threads, credit_zero_start,
    credit_one_at_a_time, credit_shrinking_is_ignored, consumption_beyond_what_was_sent,
    a_reader_without_credit_delays_nobody, cancel_before_first_token, cancel_before_accept, cancel_after_first,
    cancel_twice_and_after_the_end, cancel_unknown, cancel_frees_the_place, deadline, deadline_of_the_first_token,
    deadline_beyond_the_servers, utf8, stop_strings, stop_tokens, usage_exact, seed_same, logprobs,
    raw_and_ids_are_the_same, embeddings, embeddings_of_many_threads, an_embedding_is_cancelled,
    one_message_is_a_conversation, tools_and_arguments, min_tokens, model_by_name, every_stream_ends_once,
]  # fmt: skip
