#!/usr/bin/env bash
# Builds every fuzz target, with the committed corpus as its seeds. OSS-Fuzz uses this file too.
set -euo pipefail
cd "$SRC/blocktwin"

cargo fuzz build -O
built=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release

for source in fuzz/fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  # It finds bugs that were planted.
  [[ $target == zoo ]] && continue
  cp "$built/$target" "$OUT/"
  cp fuzz/libfuzzer.options "$OUT/$target.options"
done

# The inputs of these targets have the same format.
for target in lockstep durability codec; do
  zip -q -j "$OUT/${target}_seed_corpus.zip" corpus/fuzz/lockstep/*
done
zip -q -j "$OUT/allocator_seed_corpus.zip" corpus/fuzz/allocator/*
zip -q -j "$OUT/scenario_ron_seed_corpus.zip" corpus/regressions/*.ron
zip -q -j "$OUT/text_seed_corpus.zip" corpus/regressions/*.ron sim/tests/cases/*.ron
