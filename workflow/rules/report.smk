# report: all that a study has made → one HTML page, which opens without a network.
# in: tables/*.csv, claims.csv, figures/*.png, manifests of sources and pools, every weights.json   out: report.html, report.provenance.json

REPORT = f"{RESULTS}/report.html"
REPORT_TABLES = {name: {"path": path, "about": ABOUT_TABLES[name]} for name, path in TABLES.items()}
REPORT_TABLES["claims"] = {
    "path": rules.claims.output.csv,
    "about": "Claims of the paper, tested or not, with verdicts",
}
REPORT_FIGURES = [
    {
        "path": FIGURES[name],
        "caption": spec.get("caption", spec["draw"]),
        **{key: spec[key] for key in ("about", "table", "experiment") if key in spec},
    }
    for name, spec in FIGURE_LIST.items()
]
REPORT_CAPTIONS = list(dict.fromkeys(f"workflow/report/{figure['caption']}.rst" for figure in REPORT_FIGURES))
REPORT_SOURCES = [
    {"name": source, "path": f"{RESULTS}/sources/{source}.json"}
    for source in dict.fromkeys(source for name in STUDY.run for source in sources_of(name))
]
REPORT_POOLS = [{"name": name, "path": f"{RESULTS}/{name}/pool/pool.json"} for name in STUDY.run]
REPORT_RUNS = [run_path(run, "weights.json") for run in runs()]


rule report:
    """The report of the study: one HTML page with every table and figure."""
    input:
        code=code("make_report.py") + [f"scripts/scalebio/report/{name}" for name in ("page.html.jinja", "style.css")],
        captions=REPORT_CAPTIONS,
        tables=[table["path"] for table in REPORT_TABLES.values()],
        figures=[figure["path"] for figure in REPORT_FIGURES],
        manifests=[entry["path"] for entry in REPORT_SOURCES + REPORT_POOLS],
        runs=REPORT_RUNS,
    output:
        html=REPORT,
        provenance=f"{RESULTS}/report.provenance.json",
    log:
        f"{LOGS}/make_report.log",
    benchmark:
        f"{BENCHMARKS}/make_report.tsv"
    localrule: True
    conda:
        "../../envs/plot.yaml"
    threads: 1
    resources:
        mem_mb=memory(1),
        runtime=runtime(0.25),
    params:
        launch=launcher,
        settings=as_json(
            study=STUDY.study,
            results=RESULTS,
            question=STUDY.question,
            experiments=[
                {"name": name, **STUDY.experiments[name].model_dump(exclude_none=True)} for name in STUDY.run
            ],
            references={name: reference.model_dump(exclude_none=True) for name, reference in STUDY.references.items()},
            models={
                name: model.model_dump(exclude_none=True, include={"scratch", "path", "hub", "lisa", "lora"})
                for name, model in STUDY.models.items()
            },
            sources=REPORT_SOURCES,
            pools=REPORT_POOLS,
            runs=REPORT_RUNS,
            tables=REPORT_TABLES,
            figures=REPORT_FIGURES,
        ),
    shell:
        "{params.launch:q} {input.code[0]} --settings {params.settings:q} --captions workflow/report "
        "--output {output.html:q} 2>&1 | tee -i {log:q}"
