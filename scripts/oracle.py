#!/usr/bin/env python3
"""Holds the float64 reference against an independent implementation: Hugging Face's LlamaForCausalLM in PyTorch.

    greta reference MODEL.gguf --prompt p0_short -o reference.h5
    scripts/oracle.py MODEL.gguf reference.h5

The model is built here from the same GGUF file by a reader and a dequantisation of our own in NumPy, run in float64, and every
stage of both phases is compared: max |difference| / max |reference| at most 1e-10. Exit code 0 when all stages of all layers
agree and a weight that is off by one part in a million is noticed; 1 otherwise. Needs numpy, h5py, torch and transformers.

Four places of transformers compute in float32 whatever the model's type is; they are replaced by the same formula in float64:
LlamaRMSNorm, the rotary embedding's angles, the softmax of the eager attention, and (in old versions) a cast of the logits,
which are therefore taken from lm_head.
"""
import argparse
import contextlib
import struct
import sys

import numpy as np

TOLERANCE = 1e-10

# --- GGUF ---

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 8: ("Q8_0", 32, 34), 12: ("Q4_K", 256, 144), 14: ("Q6_K", 256, 210)}


class Gguf:
    """Metadata and tensors of a GGUF file of version 2 or 3."""

    def __init__(self, path):
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 0
        magic, version, tensors, pairs = self.take("<IIQQ")
        if magic != 0x46554747 or version not in (2, 3):
            sys.exit(f"{path}: not a GGUF file of version 2 or 3")
        self.metadata = {}
        for _ in range(pairs):
            key = self.string()
            self.metadata[key] = self.value(self.take("<I")[0])
        infos = {}
        for _ in range(tensors):
            name = self.string()
            sizes = self.take(f"<{self.take('<I')[0]}Q")
            kind, offset = self.take("<IQ")
            infos[name] = (sizes[::-1], kind, offset)
        alignment = self.metadata.get("general.alignment", 32)
        self.begin = -(-self.at // alignment) * alignment
        self.infos = infos

    def take(self, layout):
        values = struct.unpack_from(layout, self.bytes, self.at)
        self.at += struct.calcsize(layout)
        return values

    def string(self):
        (length,) = self.take("<Q")
        text = self.bytes[self.at:self.at + length].tobytes()
        self.at += length
        return text.decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            of, count = self.take("<IQ")
            return [self.value(of) for _ in range(count)]
        return self.take(SCALARS[kind])[0]

    def tensor(self, name):
        """In float64, [outputs, inputs]; every product of a scale and a quantum is exact in it."""
        shape, kind, offset = self.infos[name]
        if kind not in TYPES:
            sys.exit(f"{name}: tensor type {kind} has no dequantisation here; known: {', '.join(t[0] for t in TYPES.values())}")
        kind, values, size = TYPES[kind]
        blocks = int(np.prod(shape)) // values
        begin = self.begin + offset
        data = self.bytes[begin:begin + blocks * size].reshape(blocks, size)
        return globals()[f"dequantise_{kind.lower()}"](data).reshape(shape)


def halves(data):
    return np.ascontiguousarray(data).view("<f2").astype(np.float64)


def dequantise_f32(data):
    return np.ascontiguousarray(data).view("<f4").astype(np.float64)


def dequantise_f16(data):
    return halves(data)


def dequantise_q8_0(data):
    return halves(data[:, :2]) * data[:, 2:].view(np.int8)


def dequantise_q4_k(data):
    d, least, packed = halves(data[:, 0:2]), halves(data[:, 2:4]), data[:, 4:16].astype(np.int64)
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6) << 4], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 6) << 4], axis=1)
    nibbles = data[:, 16:].reshape(-1, 4, 1, 32)
    quanta = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(-1, 8, 32)
    return (d * scales)[:, :, None] * quanta - (least * minima)[:, :, None]


def dequantise_q6_k(data):
    low, high = data[:, 0:128].reshape(-1, 2, 2, 32), data[:, 128:192].reshape(-1, 2, 1, 32)
    scales, d = data[:, 192:208].view(np.int8).reshape(-1, 2, 4, 2), halves(data[:, 208:210])
    nibbles = np.concatenate([low & 15, low >> 4], axis=2).astype(np.int64)  # quarters of a half
    tops = np.concatenate([(high >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2).astype(np.int64)
    quanta = (nibbles | tops << 4) - 32
    return ((d[:, :, None, None] * scales)[..., None] * quanta.reshape(-1, 2, 4, 2, 16)).reshape(-1, 256)


# --- the model of transformers ---


def unpermuted(rows, heads):
    """GGUF has the rows of a head as pairs (2i, 2i + 1); Hugging Face has the first of all pairs, then the second."""
    shape = rows.shape
    return rows.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def unpermuted_heads(x):
    """The same along the last axis of an activation [S, heads, head size]."""
    return x.reshape(*x.shape[:-1], -1, 2).swapaxes(-1, -2).reshape(x.shape)


class Sizes:
    def __init__(self, gguf):
        get = lambda key, otherwise=None: gguf.metadata.get(f"llama.{key}", otherwise)
        self.layers, self.embedding, self.heads = get("block_count"), get("embedding_length"), get("attention.head_count")
        self.kv_heads = get("attention.head_count_kv", self.heads)
        self.head_dim = get("attention.key_length", self.embedding // self.heads)
        self.feed_forward, self.context = get("feed_forward_length"), get("context_length")
        self.eps, self.base = get("attention.layer_norm_rms_epsilon"), get("rope.freq_base", 10000.0)
        self.vocabulary = gguf.infos["token_embd.weight"][0][0]
        self.tied = "output.weight" not in gguf.infos
        if get("rope.dimension_count", self.head_dim) != self.head_dim:
            sys.exit("transformers' Llama turns whole heads; this model turns a part of each")


def build(torch, gguf, sizes, device):
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama import modeling_llama

    class Norm(torch.nn.Module):
        def __init__(self, size, eps):
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.empty(size)), eps

        def forward(self, x):
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))

    class Rotary(torch.nn.Module):
        def __init__(self, frequencies):
            super().__init__()
            self.frequencies = frequencies

        def forward(self, x, position_ids):
            angles = position_ids[..., None].to(torch.float64) * self.frequencies
            angles = torch.cat([angles, angles], dim=-1)
            return angles.cos(), angles.sin()

    config = LlamaConfig(hidden_size=sizes.embedding, intermediate_size=sizes.feed_forward, num_hidden_layers=sizes.layers,
                         num_attention_heads=sizes.heads, num_key_value_heads=sizes.kv_heads, head_dim=sizes.head_dim,
                         vocab_size=sizes.vocabulary, rms_norm_eps=sizes.eps, max_position_embeddings=sizes.context,
                         attention_bias=False, mlp_bias=False, tie_word_embeddings=False, attn_implementation="eager",
                         bos_token_id=None, eos_token_id=None)
    torch.set_default_dtype(torch.float64)
    modeling_llama.LlamaRMSNorm = Norm
    with torch.device("meta"):
        model = LlamaForCausalLM(config)

    def weight(name, heads=None):
        values = gguf.tensor(name)
        return torch.from_numpy(np.ascontiguousarray(unpermuted(values, heads) if heads else values)).to(device)

    table = weight("token_embd.weight")
    state = {"model.embed_tokens.weight": table, "model.norm.weight": weight("output_norm.weight"),
             "lm_head.weight": table if sizes.tied else weight("output.weight")}
    parts = {"input_layernorm": "attn_norm", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}
    for layer in range(sizes.layers):
        ours, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        for their, our in parts.items():
            state[f"{theirs}{their}.weight"] = weight(f"{ours}{our}.weight")
        state[f"{theirs}self_attn.q_proj.weight"] = weight(f"{ours}attn_q.weight", sizes.heads)
        state[f"{theirs}self_attn.k_proj.weight"] = weight(f"{ours}attn_k.weight", sizes.kv_heads)
    model.load_state_dict(state, strict=True, assign=True)

    frequencies = sizes.base ** (-np.arange(0, sizes.head_dim, 2, dtype=np.float64) / sizes.head_dim)
    if "rope_freqs.weight" in gguf.infos:
        frequencies = frequencies / gguf.tensor("rope_freqs.weight").ravel()
    model.model.rotary_emb = Rotary(torch.from_numpy(frequencies).to(device))
    return model.eval()


class Recorder:
    """What every stage of one call of the model was, as NumPy arrays by (layer, stage)."""

    def __init__(self, torch, model):
        self.torch, self.model, self.seen, self.layer = torch, model, {}, -1

    def keep(self, layer, stage, value):
        key = (layer, stage)
        if key in self.seen:
            sys.exit(f"{stage} of layer {layer} came twice: the hooks do not fit this version of transformers")
        self.seen[key] = value.detach()[0].cpu().numpy()

    def output(self, module, layer, stage):
        return module.register_forward_hook(lambda _, __, out: self.keep(layer, stage, out))

    def input(self, module, layer, stage):
        return module.register_forward_pre_hook(lambda _, given: self.keep(layer, stage, given[0]))

    def hooks(self):
        body = self.model.model
        yield self.output(body.embed_tokens, -1, "embed")
        yield self.output(body.norm, -1, "final_norm")
        yield self.output(self.model.lm_head, -1, "logits")
        for number, layer in enumerate(body.layers):
            attention, mlp = layer.self_attn, layer.mlp
            yield attention.register_forward_pre_hook(lambda *_, number=number: setattr(self, "layer", number))
            yield self.output(layer.input_layernorm, number, "attn_norm")
            for name in "qkv":
                yield self.output(getattr(attention, f"{name}_proj"), number, name)
            yield self.input(attention.o_proj, number, "attn_out")
            yield self.output(attention.o_proj, number, "wo")
            yield self.input(layer.post_attention_layernorm, number, "attn_residual")
            yield self.output(layer.post_attention_layernorm, number, "ffn_norm")
            yield self.output(mlp.gate_proj, number, "ffn_gate")
            yield self.output(mlp.up_proj, number, "ffn_up")
            yield self.input(mlp.down_proj, number, "ffn_act")
            yield self.output(mlp.down_proj, number, "ffn_down")
            after = body.layers[number + 1].input_layernorm if number + 1 < len(body.layers) else body.norm
            yield self.input(after, number, "ffn_residual")

    @contextlib.contextmanager
    def recording(self):
        from transformers.models.llama import modeling_llama
        functional = self.torch.nn.functional
        softmax, turn = functional.softmax, modeling_llama.apply_rotary_pos_emb

        def softmax_f64(x, dim=-1, dtype=None, **more):
            out = softmax(x, dim=dim, **more)
            self.keep(self.layer, "qk", x)
            self.keep(self.layer, "softmax", out)
            return out

        def turn_and_keep(*given, **more):
            q, k = turn(*given, **more)
            self.keep(self.layer, "q_rope", q)
            self.keep(self.layer, "k_rope", k)
            return q, k

        handles = list(self.hooks())
        functional.softmax, modeling_llama.apply_rotary_pos_emb = softmax_f64, turn_and_keep
        try:
            yield
        finally:
            functional.softmax, modeling_llama.apply_rotary_pos_emb = softmax, turn
            for handle in handles:
                handle.remove()

    def call(self, tokens, past):
        """Runs the tokens over the cache and returns the cache."""
        self.seen = {}
        ids = self.torch.tensor([tokens], device=self.model.lm_head.weight.device)
        with self.torch.no_grad(), self.recording():
            past = self.model(input_ids=ids, past_key_values=past, use_cache=True).past_key_values
        for layer in range(len(self.model.model.layers)):
            kept = past.layers[layer] if hasattr(past, "layers") else None
            self.keep(layer, "k_cache", kept.keys if kept else past.key_cache[layer])
            self.keep(layer, "v_cache", kept.values if kept else past.value_cache[layer])
        return past


# --- the comparison ---


def in_their_layout(stage, ours):
    """The reference's tensor as transformers lays it out."""
    S = ours.shape[0]
    if stage in ("q_rope", "k_rope", "k_cache"):
        return unpermuted_heads(ours).swapaxes(0, 1)  # [heads, S, head size]
    if stage in ("q", "k"):
        return unpermuted_heads(ours).reshape(S, -1)
    if stage in ("qk", "softmax", "v_cache"):
        return ours.swapaxes(0, 1)
    return ours.reshape(S, -1)


def difference(stage, ours, theirs):
    """max |difference| / max |reference|, and what is wrong beside it."""
    ours = in_their_layout(stage, ours)
    if ours.shape != theirs.shape:
        return np.inf, f"shape {ours.shape} against {theirs.shape}"
    if theirs.dtype != np.float64:
        return np.inf, f"PyTorch computed it in {theirs.dtype}"
    masked = np.isneginf(ours) if stage == "qk" else np.zeros(ours.shape, bool)
    if not (theirs[masked] <= -1e300).all():  # transformers adds the type's lowest value
        return np.inf, "the masks differ"
    ours, theirs = ours[~masked], theirs[~masked]
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return np.inf, "NaN or infinity"
    largest = np.abs(ours).max()
    if not largest > 0:
        return np.inf, "the reference is zero everywhere"
    return np.abs(ours - theirs).max() / largest, ""


STAGES = ("embed attn_norm q k v q_rope k_rope k_cache v_cache qk softmax pv attn_out wo attn_residual ffn_norm ffn_gate ffn_up "
          "ffn_act ffn_down ffn_residual final_norm logits").split()
OUTSIDE = ("embed", "final_norm", "logits")


def compare(group, seen, sizes):
    """{(layer, stage): (ratio, what is wrong)}; what either side lacks is infinitely wrong."""
    found = {}
    for stage in STAGES:
        for layer in [-1] if stage in OUTSIDE else range(sizes.layers):
            path = stage if layer < 0 else f"layer_{layer:02d}/{stage}"
            theirs = seen.get((layer, "attn_out" if stage == "pv" else stage))
            if path not in group or theirs is None:
                found[layer, stage] = np.inf, f"missing in {'the trace' if path not in group else 'PyTorch'}"
            else:
                found[layer, stage] = difference(stage, group[path][()], theirs)
    return found


def place(key, sizes):
    """Where in the forward pass a (layer, stage) is."""
    layer, stage = key
    return (-1 if stage == "embed" else sizes.layers if layer < 0 else layer, STAGES.index(stage))


def calls_of(tokens):
    yield "prefill", [], tokens
    yield "decode0", tokens[:-1], tokens[-1:]


def run_all(torch, model, trace, sizes, report):
    failures = []
    for prompt in trace["prompts"]:
        tokens = trace["prompts"][prompt][()].tolist()
        for phase, before, now in calls_of(tokens):
            recorder, past = Recorder(torch, model), None
            if before:
                past = recorder.call(before, past)
            recorder.call(now, past)
            found = compare(trace[f"{prompt}/reference/{phase}"], recorder.seen, sizes)
            for stage in STAGES:
                layer, (ratio, wrong) = max(((key[0], value) for key, value in found.items() if key[1] == stage),
                                            key=lambda item: item[1][0])
                report(f"{prompt:<12} {phase:<8} {stage:<14} {ratio:9.2e}  {'' if layer < 0 else layer:>5}  "
                       f"{'agrees' if ratio <= TOLERANCE else 'DIFFERS'} {wrong}".rstrip())
            failures += sorted((key for key, (ratio, _) in found.items() if not ratio <= TOLERANCE),
                               key=lambda key: place(key, sizes))
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a .gguf file")
    parser.add_argument("trace", help="what `greta reference` made of it")
    parser.add_argument("--device", default="cpu", help="of PyTorch (default cpu)")
    given = parser.parse_args()
    import h5py
    import torch
    import transformers

    gguf = Gguf(given.model)
    sizes = Sizes(gguf)
    model = build(torch, gguf, sizes, given.device)
    with h5py.File(given.trace) as trace:
        if trace.attrs.get("complete") != 1 or not len(trace["prompts"]):
            sys.exit(f"{given.trace}: not a complete trace")
        print(f"transformers {transformers.__version__}, PyTorch {torch.__version__}, float64 on {given.device}, against {given.trace}\n"
              f"{'prompt':<12} {'phase':<8} {'stage':<14} {'ratio':>9}  layer  (worst layer; at most {TOLERANCE:g} agrees)")
        failures = run_all(torch, model, trace, sizes, print)
        # The control: what a small error looks like, and that it is placed.
        with torch.no_grad():
            weight = model.model.layers[0].self_attn.v_proj.weight
            weight[0] *= 1 + 1e-6
        noticed = run_all(torch, model, trace, sizes, lambda _: None)
    placed = bool(noticed) and noticed[0] == (0, "v")
    print(f"control: a row of layer 0's v off by one part in a million is {'noticed, first in v of layer 0' if placed else 'NOT noticed'}")
    print("the reference and PyTorch agree" if not failures else f"{len(failures)} stages differ")
    return 0 if not failures and placed else 1


if __name__ == "__main__":
    sys.exit(main())
