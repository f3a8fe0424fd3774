import Synchronization

/// One line on standard error that is rewritten in place while something takes time. Shown on a terminal only: in a log
/// it would be noise.
package final class ProgressLine: Sendable {
    private let stream: StandardStream
    private let shown = Mutex("")

    /// Creates a line that is not shown yet.
    package init(on stream: StandardStream = .error) {
        self.stream = stream
    }

    /// Replaces the line's text. Equal texts cost nothing, so callers may report as often as they like.
    package func show(_ text: String) {
        guard stream.terminal.allowsEscapes else { return }
        shown.withLock { shown in
            guard shown != text else { return }
            shown = text
            rewrite(text)
        }
    }

    /// Removes the line; what is written next starts at its place.
    package func clear() {
        shown.withLock { shown in
            guard !shown.isEmpty else { return }
            shown = ""
            rewrite("")
        }
    }

    private func rewrite(_ text: String) {
        do {
            try stream.write("\r\u{1B}[K" + text)
        } catch {}
    }
}
