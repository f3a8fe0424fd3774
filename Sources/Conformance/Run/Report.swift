/// Results as people and build servers read them.
package enum Report {
    /// One line for a result.
    package static func line(_ result: Runner.Result) -> String {
        let (word, reason) =
            switch result.verdict {
            case .passed: ("PASS", nil as String?)
            case .notStrict(let reason): ("SOFT", reason)
            case .failed(let reason): ("FAIL", reason)
            case .skipped(let reason): ("SKIP", reason)
            }
        let closing = result.closing.map { " [\($0)]" } ?? ""
        let line = "\(word)  \(padded(result.case.id))  \(result.case.title): \(result.case.expectation)\(closing)"
        return line + (reason.map { "\n      \($0)" } ?? "")
    }

    /// One line for a case that is not run.
    package static func line(_ case: Case) -> String {
        "\(padded(`case`.id))  \(`case`.title): \(`case`.expectation)\(`case`.isRecommendation ? " (recommended)" : "")"
    }

    private static func padded(_ id: String) -> String {
        id + String(repeating: " ", count: max(0, 7 - id.count))
    }

    /// How many of each verdict, for example "312 cases: 300 passed, 2 not strict, 0 failed, 10 skipped".
    package static func summary(_ results: [Runner.Result]) -> String {
        var (passed, notStrict, failed, skipped) = (0, 0, 0, 0)
        for result in results {
            switch result.verdict {
            case .passed: passed += 1
            case .notStrict: notStrict += 1
            case .failed: failed += 1
            case .skipped: skipped += 1
            }
        }
        return "\(results.count) cases: \(passed) passed, \(notStrict) not strict, \(failed) failed, \(skipped) skipped"
    }

    /// JUnit's XML: a suite for each section.
    package static func junit(_ results: [Runner.Result]) -> String {
        var sections: [String] = []
        for result in results where !sections.contains(result.case.section) { sections.append(result.case.section) }
        var xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"lmcall conformance\">\n"
        for section in sections {
            let part = results.filter { $0.case.section == section }
            let failures = part.count { if case .failed = $0.verdict { true } else { false } }
            let skipped = part.count { if case .skipped = $0.verdict { true } else { false } }
            xml +=
                "  <testsuite name=\"section \(section)\" tests=\"\(part.count)\" failures=\"\(failures)\" errors=\"0\""
            xml += " skipped=\"\(skipped)\" time=\"\(seconds(part.reduce(.zero) { $0 + $1.duration }))\">\n"
            for result in part { xml += junit(result) }
            xml += "  </testsuite>\n"
        }
        return xml + "</testsuites>\n"
    }

    private static func junit(_ result: Runner.Result) -> String {
        let name = escaped("\(result.case.id) \(result.case.title): \(result.case.expectation)")
        var xml =
            "    <testcase classname=\"lmcall.conformance\" name=\"\(name)\" time=\"\(seconds(result.duration))\">"
        switch result.verdict {
        case .passed: break
        case .notStrict(let reason): xml += "<system-out>not strict: \(escaped(reason))</system-out>"
        case .failed(let reason): xml += "<failure message=\"\(escaped(reason))\"/>"
        case .skipped(let reason): xml += "<skipped message=\"\(escaped(reason))\"/>"
        }
        if let closing = result.closing { xml += "<system-out>connection ended: \(closing)</system-out>" }
        return xml + "</testcase>\n"
    }

    private static func seconds(_ duration: Duration) -> String {
        let milliseconds = Int(duration / .milliseconds(1))
        let fraction = String(milliseconds % 1_000)
        return "\(milliseconds / 1_000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }

    /// Text between quotes: what XML cannot carry, as U+FFFD.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            case "\"": result += "&quot;"
            case "\u{0}"..<"\u{20}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
