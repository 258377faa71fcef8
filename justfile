# Habits. Everything here can be typed by hand just as well.

# list what there is
default:
    @just --list --unsorted

# everything that must hold before a change is taken
ci:
    .ci/run

# every test, or those whose name contains the argument
test *filter:
    tests/run {{filter}}

# the power is cut at every place and at random moments, on ext4 and XFS (as root; half an hour)
power:
    GITROLL_POWER_FULL=1 cargo test --locked --test suite power:: -- --nocapture --test-threads 1

# KILL and errors at every place and every system call of a run, eight commands at once (hours)
crash *filter:
    GITROLL_CRASH_FULL=1 cargo test --locked --test suite crash::{{filter}} -- --nocapture --test-threads 1

# the quick look while writing
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# format, and apply what clippy can mend itself
mend:
    cargo clippy --all-targets --locked --fix --allow-dirty --allow-staged
    cargo fmt

# look at changed snapshots one by one
snapshots:
    cargo insta test --review

# rollback on a 10,000-file repository, as multiples of plain git
bench:
    cargo bench --locked --bench verbs

# the API documentation, private items included
docs:
    cargo doc --locked --no-deps --document-private-items --open
