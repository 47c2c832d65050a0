"""What belongs to a cluster: the site, the jobs of a run in its queue, and a trial of all that training needs."""
