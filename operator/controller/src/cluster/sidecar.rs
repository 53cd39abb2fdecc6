//! How our own container fares in other people's pods, as the kubelet tells it.

/// The longest message of a kubelet that is kept, in bytes.
const MOST: usize = 200;

/// How our container fares in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sidecar {
    /// It has yet to start, for no reason of its own; or it is not there.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// It cannot start, or ends again and again.
    Failing(SidecarFailure),
}

/// By what the kubelet gets a container's image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// As a pod spells it.
    pub reference: String,
    /// `imagePullPolicy`.
    pub pull_policy: String,
}

/// Why our container does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarFailure {
    /// What fails.
    pub cause: SidecarCause,
    /// The kubelet's words: one line of at most 200 bytes, without credentials.
    pub message: String,
    /// The pod's own containers have been started, so nothing waits for ours.
    pub initialized: bool,
}

/// What fails when our container does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SidecarCause {
    /// Its image cannot be had.
    Image,
    /// It cannot be created.
    Create,
    /// It is created and cannot be started.
    Start,
    /// It ends again and again.
    Crash,
}

impl SidecarCause {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Image, Self::Create, Self::Start, Self::Crash];

    /// What a reason for which a container waits, or for which it ended, tells of it. Names of the kubelet
    /// (`pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`) and of container runtimes.
    pub fn of(reason: &str) -> Option<Self> {
        match reason {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Some(Self::Image),
            "CreateContainerConfigError" | "CreateContainerError" | "PreCreateHookError" => {
                Some(Self::Create)
            }
            "RunContainerError" | "StartError" | "ContainerCannotRun" => Some(Self::Start),
            "CrashLoopBackOff" => Some(Self::Crash),
            _ => None,
        }
    }

    /// What fails, as a clause.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Image => "the sidecar's image cannot be pulled",
            Self::Create => "the sidecar's container cannot be created",
            Self::Start => "the sidecar's container cannot be started",
            Self::Crash => "the sidecar's container ends again and again",
        }
    }

    /// As metrics say it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Create => "Create",
            Self::Start => "Start",
            Self::Crash => "Crash",
        }
    }
}

impl SidecarFailure {
    /// A failure with the kubelet's words, as far as others may read them: a registry's address may carry a
    /// password, and what follows its `?` may be a signature that grants access.
    pub fn new(cause: SidecarCause, message: &str, initialized: bool) -> Self {
        let words: Vec<String> = message.split_whitespace().map(without_credentials).collect();
        Self { cause, message: peerwalk_api::condition::clamp(&words.join(" "), MOST), initialized }
    }

    /// What fails, with the kubelet's words where there are any.
    pub fn words(&self) -> String {
        let cause = self.cause.words();
        if self.message.is_empty() { cause.to_owned() } else { format!("{cause}: {}", self.message) }
    }
}

/// A word without the user information and the query of the address in it.
fn without_credentials(word: &str) -> String {
    let word: String = word.chars().filter(|c| !c.is_control()).collect();
    let Some((scheme, rest)) = word.split_once("://") else { return word };
    let (address, query) = match rest.find('?') {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_kubelet_are_told_apart() {
        for (reason, cause) in [
            ("ErrImagePull", Some(SidecarCause::Image)),
            ("ImagePullBackOff", Some(SidecarCause::Image)),
            ("InvalidImageName", Some(SidecarCause::Image)),
            ("CreateContainerConfigError", Some(SidecarCause::Create)),
            ("CreateContainerError", Some(SidecarCause::Create)),
            ("RunContainerError", Some(SidecarCause::Start)),
            ("StartError", Some(SidecarCause::Start)),
            ("CrashLoopBackOff", Some(SidecarCause::Crash)),
            ("PodInitializing", None),
            ("ContainerCreating", None),
            ("Completed", None),
        ] {
            assert_eq!(SidecarCause::of(reason), cause, "{reason}");
        }
    }

    #[test]
    fn what_a_kubelet_says_is_one_short_line_without_credentials() {
        let said = |message: &str| SidecarFailure::new(SidecarCause::Image, message, false).message;
        for (message, expected) in [
            ("Back-off pulling image \"r/s:1\"", "Back-off pulling image \"r/s:1\""),
            ("a\nb\t c\u{7}", "a b c"),
            (
                "Head \"https://user:secret@r.example/v2/s?sig=secret\": 401",
                "Head \"https://r.example/v2/s?… 401",
            ),
            ("proxy http://user:p@ss@proxy:3128 refused", "proxy http://proxy:3128 refused"),
            ("image r@sha256:01", "image r@sha256:01"),
        ] {
            assert_eq!(said(message), expected, "{message}");
        }
        let long = said(&"é".repeat(MOST));
        assert!(long.len() <= MOST && long.ends_with('…'), "{long}");
    }
}
