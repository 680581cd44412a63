module biospark.ai/dev/cluster/pause

go 1.25.0
