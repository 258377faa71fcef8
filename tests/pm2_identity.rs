//! Apps that pm2 runs: which of them are this checkout's, how they are started, what a changed definition does.
