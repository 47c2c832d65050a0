# sources: raw rows from a file, the hub or a generator → records in one format, with hash and licence.
# in: the study's `sources` section   out: sources/<source>.parquet, sources/<source>.json


HUB_SOURCES = [name for name, source in STUDY.sources.items() if source.hub and not STUDY.offline_data]


rule fetch_source:
    """Read, check and, where asked, spoil the rows of one source."""
    input:
        code=code("fetch_source.py"),
        raw=source_file,
    output:
        records=f"{RESULTS}/sources/{{source}}.parquet",
        manifest=f"{RESULTS}/sources/{{source}}.json",
    log:
        f"{LOGS}/fetch_source/{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch_source/{{source}}.tsv"
    wildcard_constraints:
        source=one_of(set(STUDY.sources) - set(HUB_SOURCES)),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=memory(2),
        runtime=runtime(1),
    params:
        launch=launcher,
        settings=source_settings,
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} "
        "--output {output.records:q} --manifest {output.manifest:q} 2>&1 | tee -i {log:q}"


# Only what goes through the network is tried again: a fault in a user's own file should be told once.
use rule fetch_source as fetch_hub_source with:
    wildcard_constraints:
        source=one_of(HUB_SOURCES),
    retries: 2


# Compute nodes often have no network.
localrules:
    fetch_hub_source,
