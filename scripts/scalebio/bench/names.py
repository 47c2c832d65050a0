"""What is measured, by name and in words; imports nothing heavy, because the figure needs it too."""

# Each idea on top of those before it, in this order.
RUNGS = {
    "no_dropout": "dropout off",
    "fused_adamw": "AdamW fused",
    "freed_states": "sleeping layers' states freed",
    "packed_rows": "rows packed, no padding",
    "response_logits": "logits at answer tokens only",
    "fused_gelu": "GELU as one operation",
    "example_attention": "attention within each example",
    "chunked_cross_entropy": "cross-entropy in chunks",
}
ABOUT = {
    "released": "released, plainly",
    **{rung: f"+ {text}" for rung, text in RUNGS.items()},
    "scalebio": "ours (+ bounded passes)",
    "scalebio_frozen_embeddings": "ours, embeddings frozen",
}
MAIN = ("released", "scalebio", "scalebio_frozen_embeddings")
SHAPES = {
    "6x256": "6 layers × 256, 4,096 tokens; batch 8 × ≤ 512",
    "gpt2-small": "GPT-2 small: 12 layers × 768, 50,257 tokens; batch 4 × ≤ 256",
    "minuscule": "3 layers × 16, for tests",
}
