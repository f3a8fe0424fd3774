"""Streams a language model's tokens from an lmcall server.

    from lmcall import Client

    with Client("127.0.0.1:7433") as client:
        for token in client.generate("Why is the sky blue?", max_tokens=64):
            print(token.text, end="", flush=True)
"""

from .client import VERSION, Client
from .errors import Code, LMError
from .messages import (
    UNLIMITED, Accept, Embedding, Finish, Health, Logprob, Message, Model, Progress, Request, Token, Usage,
)  # fmt: skip
from .stream import TokenStream

__all__ = [
    "Accept", "Client", "Code", "Embedding", "Finish", "Health", "LMError", "Logprob", "Message", "Model", "Progress", "Request",
    "Token", "TokenStream", "UNLIMITED", "Usage",
]  # fmt: skip
__version__ = VERSION
