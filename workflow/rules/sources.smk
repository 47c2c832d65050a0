# sources: raw rows from a file, the hub or a generator → records in one format, with hash and licence.
# in: the study's `sources` section   out: sources/<source>.parquet, sources/<source>.json


def source_file(wildcards):
    """The local file behind a source, if it has one, so that a change of its content is seen."""
    source = STUDY.sources[wildcards.source]
    if source.file:
        return source.file
    if STUDY.offline_data and source.local:
        return f"{STUDY.offline_data}/{source.local}"
    return []


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
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    retries: 2 if any(source.hub for source in STUDY.sources.values()) else 0
    params:
        launch=launcher,
        settings=lambda w: as_json(name=w.source, source=STUDY.sources[w.source], offline_data=STUDY.offline_data),
    shell:
        "{params.launch} {input.code[0]} --settings {params.settings:q} "
        "--output {output.records:q} --manifest {output.manifest:q} 2>&1 | tee {log:q}"
