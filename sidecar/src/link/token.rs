//! The projected token, which the kubelet replaces before it expires.

use std::io;
use std::path::PathBuf;

use peerwalk_wire::limits;

/// Where the token is.
#[derive(Clone, Debug)]
pub struct TokenFile(pub PathBuf);

/// Why there is no token. The path is named, the content never.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is empty, or far too large for a token.
    #[error("{path} has {bytes} bytes, which is no token")]
    Implausible {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

impl TokenFile {
    /// The token as it is now.
    pub fn read(&self) -> Result<String, TokenError> {
        let path = || self.0.clone();
        let text = std::fs::read_to_string(&self.0)
            .map_err(|source| TokenError::Unreadable { path: path(), source })?;
        let token = text.trim();
        if token.is_empty() || token.len() > limits::TOKEN_BYTES {
            return Err(TokenError::Implausible { path: path(), bytes: token.len() });
        }
        Ok(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_and_errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile(directory.path().join("token"));
        assert!(file.read().unwrap_err().to_string().contains("token cannot be read"));
        for (content, expected) in [("abc\n", Some("abc")), ("", None), (&"x".repeat(9000), None)] {
            std::fs::write(&file.0, content).unwrap();
            assert_eq!(file.read().ok().as_deref(), expected);
        }
    }
}
