"""Programs that machines need and a bare computer lacks, fetched into TOOLS_DIR: never needed to start, never as root."""
