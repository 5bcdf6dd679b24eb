"""The texts of a vocabulary, by which a written token is known."""

from __future__ import annotations

from pathlib import Path

from leafstream.models.gguf import read_pieces

from .writer import Gguf, llama_keys, numbers, string, strings


def test_the_pieces_of_a_byte_level_vocabulary_are_its_whole_texts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.gguf"
    tokens = ["Ġthe", "Ċ", "Ã©", "Ã", "íķľ", "the"]
    keys = {
        **llama_keys(),
        "tokenizer.ggml.tokens": strings(tokens),
        "tokenizer.ggml.token_type": numbers([1] * 6),
    }
    path.write_bytes(Gguf(keys).bytes())
    assert read_pieces(path) == {" the": 0, "\n": 1, "é": 2, "한": 4, "the": 5}
    keys["tokenizer.ggml.model"] = string("llama")
    path.write_bytes(Gguf(keys).bytes())
    assert read_pieces(path) == {}
