//! Where the kernel counts what the prober is kept from and what it uses up. A file that is missing counts nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use peerwalk_model::evidence::Strain;

use crate::socket::port_range;

/// More than any of the files has.
const FILE: usize = 4096;
/// Where container runtimes mount the cgroup of the container, or its root.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The files, opened at the first reading.
#[derive(Debug, Default)]
pub(crate) struct Gauges(OnceLock<Files>);

#[derive(Debug)]
struct Files {
    cpu: Option<File>,
    schedstat: Option<File>,
}

/// What the kernel has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) throttled: Duration,
    pub(super) run_delay: Duration,
}

impl Gauges {
    pub(super) fn read(&self) -> Reading {
        let files = self.0.get_or_init(Files::open);
        Reading {
            throttled: files
                .cpu
                .as_ref()
                .and_then(text)
                .and_then(|text| throttled(&text))
                .unwrap_or_default(),
            run_delay: files
                .schedstat
                .as_ref()
                .and_then(text)
                .and_then(|t| run_delay(&t))
                .unwrap_or_default(),
        }
    }
}

/// What is used up, beside stalls. A process has a descriptor for the folder it counts them in.
pub(super) fn used(stalls: Option<Strain>) -> Strain {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    let read = |file: &str| fs::read_to_string(file).ok();
    let (low, high) = port_range();
    Strain {
        descriptors: u32::try_from(open).unwrap_or(u32::MAX),
        descriptors_limit: read("/proc/self/limits").and_then(|text| limit(&text)).unwrap_or_default(),
        time_wait: read("/proc/net/sockstat").and_then(|text| time_wait(&text)).unwrap_or_default(),
        ports: u32::from(high.saturating_sub(low)) + 1,
        ..stalls.unwrap_or_default()
    }
}

impl Files {
    fn open() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let counts = |file: &File| text(file).is_some_and(|text| throttled(&text).is_some());
        let cpu = places(&own, Path::new(CGROUPS))
            .into_iter()
            .find_map(|place| File::open(place.join("cpu.stat")).ok().filter(counts));
        Self { cpu, schedstat: File::open("/proc/self/schedstat").ok() }
    }
}

/// The folders that may be those of the own cgroup, by `/proc/self/cgroup`, the likelier before: a container sees its
/// own as the root of what is mounted.
fn places(own: &str, mounted: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in own.lines() {
        // Number, controllers, path; version 2 has the number 0 and no controllers (`cgroups(7)`).
        let mut words = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        let roots = match controllers {
            "" => vec![mounted.to_path_buf(), mounted.join("unified")],
            _ if controllers.split(',').any(|name| name == "cpu") => {
                vec![mounted.join(controllers), mounted.join("cpu")]
            }
            _ => continue,
        };
        for root in roots {
            found.push(root.join(path));
            found.push(root);
        }
    }
    found
}

/// The whole of a file of the kernel's, made anew by reading it from its beginning.
fn text(file: &File) -> Option<String> {
    let mut buffer = [0; FILE];
    let length = file.read_at(&mut buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok().map(str::to_owned)
}

/// Of `cpu.stat`: microseconds in version 2 of cgroups, nanoseconds in version 1.
fn throttled(text: &str) -> Option<Duration> {
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    field("throttled_usec ")
        .map(Duration::from_micros)
        .or_else(|| field("throttled_time ").map(Duration::from_nanos))
}

/// The second field of `schedstat`: nanoseconds on a run queue (`Documentation/scheduler/sched-stats.rst`).
fn run_delay(text: &str) -> Option<Duration> {
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// The soft limit of open files. There may be none.
fn limit(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `tw` of the line of TCP.
fn time_wait(text: &str) -> Option<u32> {
    let mut words = text.lines().find_map(|line| line.strip_prefix("TCP:"))?.split_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let v2 =
            "usage_usec 12\nuser_usec 6\nnr_periods 3\nnr_throttled 1\nthrottled_usec 91234\nnr_bursts 0\n";
        assert_eq!(throttled(v2), Some(Duration::from_micros(91_234)));
        assert_eq!(
            throttled("nr_periods 3\nnr_throttled 1\nthrottled_time 7000\n"),
            Some(Duration::from_micros(7))
        );
        assert_eq!(throttled("usage_usec 12\nuser_usec 6\n"), None, "no limit in this cgroup");
        assert_eq!(run_delay("361084 55023 11\n"), Some(Duration::from_nanos(55_023)));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(limit(limits), Some(1024));
        assert_eq!(
            limit("Max open files            unlimited            unlimited            files\n"),
            None
        );
        let sockstat = "sockets: used 17\nTCP: inuse 1 orphan 0 tw 42 alloc 1 mem 390\nUDP: inuse 0 mem 0\n";
        assert_eq!(time_wait(sockstat), Some(42));
        for nonsense in ["", "TCP:", "Max open files", "throttled_usec x", "1"] {
            let found = (throttled(nonsense), run_delay(nonsense), limit(nonsense), time_wait(nonsense));
            assert_eq!(found, (None, None, None, None), "{nonsense:?}");
        }
    }

    #[test]
    fn the_own_cgroup_is_found_in_a_container_and_outside() {
        for (own, expected) in [
            ("0::/\n", &["/m", "/m/unified"][..]),
            ("0::/a/b\n", &["/m/a/b", "/m", "/m/unified/a/b", "/m/unified"]),
            (
                "4:memory:/x\n3:cpu,cpuacct:/x\n",
                &["/m/cpu,cpuacct/x", "/m/cpu,cpuacct", "/m/cpu/x", "/m/cpu"],
            ),
            ("nonsense\n", &[]),
        ] {
            let mut found = places(own, Path::new("/m"));
            found.dedup();
            let found: Vec<_> =
                found.iter().map(|place| place.to_str().unwrap().trim_end_matches('/')).collect();
            let mut found = found;
            found.dedup();
            assert_eq!(found, expected, "{own:?}");
        }
    }

    #[test]
    fn this_process_has_something_to_tell() {
        let gauges = Gauges::default();
        let first = gauges.read();
        assert!(gauges.read().run_delay >= first.run_delay, "counters only grow");
        let used = used(None);
        assert!(used.descriptors > 2 && used.descriptors_limit >= used.descriptors, "{used:?}");
        assert!(used.ports > 1, "{used:?}");
    }
}
