"""Control tokens of models whose vocabulary nobody has told us (promise B13)."""

from __future__ import annotations

from leafstream.prompt import ControlTokens

# What the well-known families write between pipes is caught by its form: ChatML, Llama 3 and 4,
# Qwen, Phi, GLM, gpt-oss, Granite, Command R, Falcon; with DeepSeek's full-width pipes; Gemma 4's
# half-piped ones.
PATTERNS = (
    r"<\|[^\s|<>]{1,64}\|>",
    r"<｜[^\s｜<>]{1,64}｜>",
    r"<\|[a-z_]{1,32}>",
    r"<[a-z_]{1,32}\|>",
)

TOKENS = (
    # Llama 2, Mistral and what came of them
    *("<s>", "</s>", "<unk>", "<pad>", "<<SYS>>", "<</SYS>>", "[INST]", "[/INST]"),
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[CALL_ID]", "[ARGS]"),
    *("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[THINK]"),
    *("[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"),
    # Gemma
    *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>"),
    # EXAONE and older Korean models
    *("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]", "[BOS]", "[EOS]"),
    # GLM, Nemotron, Hunyuan
    *("[gMASK]", "[sMASK]", "<sop>", "<eop>", "<extra_id_0>", "<extra_id_1>"),
)


def known_controls(more: tuple[str, ...] = ()) -> ControlTokens:
    """The families' control tokens and those of a tokenizer that is known."""
    return ControlTokens((*TOKENS, *more), PATTERNS)
