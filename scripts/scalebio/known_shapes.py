"""Shapes of the models that the studies here use, by their id on the hub, so that their memory can be predicted without the hub.

As in each model's config.json, as far as it decides which parameters there are; the number of parameters that follows from
each is held against the published one in the tests. Imports nothing, because the Snakefile asks which there are.
"""

LLAMA_3_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
QWEN = {"model_type": "qwen2", "vocab_size": 152_064, "tie_word_embeddings": False}
KNOWN = {
    "openai-community/gpt2": {"model_type": "gpt2", "vocab_size": 50_257, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        "model_type": "llama",
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "meta-llama/Meta-Llama-3-8B": {"model_type": "llama", **LLAMA_3_8B},
    "meta-llama/Meta-Llama-3-70B": {
        "model_type": "llama",
        **LLAMA_3_8B,
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    },
    "EleutherAI/gpt-neox-20b": {
        "model_type": "gpt_neox",
        "vocab_size": 50_432,
        "hidden_size": 6144,
        "intermediate_size": 24_576,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "tie_word_embeddings": False,
    },
    "01-ai/Yi-34B": {
        "model_type": "llama",
        "vocab_size": 64_000,
        "hidden_size": 7168,
        "intermediate_size": 20_480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
    },
    "google/gemma-2-9b": {
        "model_type": "gemma2",
        "vocab_size": 256_000,
        "hidden_size": 3584,
        "intermediate_size": 14_336,
        "num_hidden_layers": 42,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen2-7B": {
        **QWEN,
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "Qwen/Qwen2.5-32B": {
        **QWEN,
        "hidden_size": 5120,
        "intermediate_size": 27_648,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
    },
}
