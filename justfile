# Shortcuts. Each runs commands that you can also type by hand.

# list the recipes
default:
    @just --list --unsorted

# every check that a change must pass
ci:
    .ci/run

# all tests, or the tests whose name contains the argument
test *filter:
    tests/run {{filter}}

# cut the power at every place and at random moments, on ext4 and XFS (as root; half an hour)
power:
    GITROLL_POWER_FULL=1 cargo test --locked --test suite power:: -- --nocapture --test-threads 1

# inject KILL and errors at every place and every system call of a run, eight commands at once (hours)
crash *filter:
    GITROLL_CRASH_FULL=1 cargo test --locked --test suite crash::{{filter}} -- --nocapture --test-threads 1

# quick checks while writing
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# format, and apply the fixes of clippy
fix:
    cargo clippy --all-targets --locked --fix --allow-dirty --allow-staged
    cargo fmt

# review changed snapshots one by one
snapshots:
    cargo insta test --review

# measure a rollback in a 10,000-file repository, relative to plain git
bench:
    cargo bench --locked --bench verbs

# what is released, into target/dist: a tarball, a .deb, an npm package, checksums
dist:
    nice -n 15 templates/packaging/dist

# install the packages into a bare Debian and run the first hour there (as root; needs debootstrap and a Debian mirror)
packages: dist
    templates/packaging/try-packages

# the documentation as a book, into target/book (needs mdbook)
book:
    mdbook build docs

# API documentation, including private items
docs:
    cargo doc --locked --no-deps --document-private-items --open
