"""Tiny random models of the families that this workflow is for, and of some that it refuses."""

import torch
import transformers

COMMON = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = COMMON | {"num_key_value_heads": 2}
HEADS = GROUPED | {"head_dim": 8}
GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
FALCON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "alibi": True}
# Windows shorter than a row, so that they matter; Yi is a Llama by its architecture.
FAMILIES = {
    "GPT2": ("GPT2Config", GPT2),
    "Llama, Yi": ("LlamaConfig", GROUPED),
    "GPTNeoX": ("GPTNeoXConfig", COMMON),
    "Gemma": ("GemmaConfig", HEADS),
    "Gemma2": ("Gemma2Config", HEADS | {"sliding_window": 8}),
    "Gemma3": ("Gemma3TextConfig", HEADS | {"sliding_window": 8}),
    "Mistral": ("MistralConfig", GROUPED | {"sliding_window": 8}),
    "Mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 4}),
    "Qwen2": ("Qwen2Config", GROUPED),
    "Qwen3": ("Qwen3Config", HEADS),
}
LEAKING = {
    "OPT": (
        "OPTConfig",
        {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "BLOOM": ("BloomConfig", {"vocab_size": 64, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "Falcon": ("FalconConfig", FALCON | {"bos_token_id": 1, "eos_token_id": 2}),
    "Mamba": ("MambaConfig", {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 4}),
}


def random_model(config: str, settings: dict) -> torch.nn.Module:
    """A tiny model of a family, its weights drawn wider than usual so that leaks show."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model
