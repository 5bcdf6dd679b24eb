"""transformers as its documentation streams: generate() in a thread, a TextIteratorStreamer.

    python -m bench.streamer FOLDER TOKENS

For each line that it reads it answers QUESTION, and prints the tokens/s after the first.
"""

from __future__ import annotations

import sys
import threading
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

QUESTION = "Tell me a long story about a cup."


def main(folder: str, tokens: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    turns = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    print("ready", flush=True)
    for _ in sys.stdin:
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
        asked = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        writing = threading.Thread(
            target=model.generate, kwargs={**prompt, **asked, "streamer": streamer}
        )
        writing.start()
        times = [time.perf_counter() for text in streamer if text]
        writing.join()
        print((tokens - 1) / (times[-1] - times[0]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
