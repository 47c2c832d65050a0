"""The report of a study: one HTML page that a reviewer reads in five minutes and that opens without a network.

`sections` says what stands where, `facts` gathers what no table holds (sources, runs, versions), `rendering` turns numbers,
captions and figures into HTML, and `page` puts them together.
"""
