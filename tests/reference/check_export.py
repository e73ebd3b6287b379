"""What was trained is read by others: check_export.py MODEL_FOLDER TERANG QUESTION...

Asks the model that `terang train` left in MODEL_FOLDER, its export as a folder in `transformers`, and its export
as a GGUF file (F32) in llama.cpp, all without chance, and says whether the answers are the same text. Needs the
packages torch, transformers and xllamacpp (llama.cpp with bindings).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 40


def by_terang(terang, model, question):
    """Ours."""
    command = [terang, "chat", "--model", model, "--temperature", "0", "--max-tokens", str(MOST), "--json"]
    found = subprocess.run([*command, question], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)["text"]


def by_transformers(folder, questions):
    """Hugging Face's library, single precision."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for question in questions:
        messages = [{"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**inputs, do_sample=False, max_new_tokens=MOST)
        yield tokenizer.decode(out[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def by_llama_cpp(gguf, questions):
    """llama.cpp through its own server's code."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_ctx = 256
    parameters.n_parallel = 1
    server = xllamacpp.Server(parameters)
    for question in questions:
        request = {
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MOST,
        }
        answer = server.handle_chat_completions(request)
        yield answer["choices"][0]["message"]["content"]


def main():
    model, terang, *questions = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        folder, gguf = Path(scratch) / "hf", Path(scratch) / "model.gguf"
        export = [terang, "export", model]
        subprocess.run([*export, "--to", "hf", "--out", folder], check=True, stdout=subprocess.DEVNULL)
        f32 = ["--to", "gguf", "--quantize", "f32", "--out", gguf]
        subprocess.run([*export, *f32], check=True, stdout=subprocess.DEVNULL)
        ours = [by_terang(terang, model, question).strip() for question in questions]
        all_same = True
        for name, theirs in [
            ("transformers", by_transformers(folder, questions)),
            ("llama.cpp", by_llama_cpp(gguf, questions)),
        ]:
            for question, our, their in zip(questions, ours, theirs):
                same = our == their.strip()
                all_same &= same
                print(f"{name}: {'same' if same else 'OTHER'}: {question} -> {our!r}" + ("" if same else f" / {their!r}"))
    sys.exit(not all_same)


main()
