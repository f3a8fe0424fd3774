/// The time that templates are told, in UTC.
package struct TemplateClock: Sendable {
    private let seconds: Int64

    /// A time, in seconds since 1970.
    package init(secondsSince1970 seconds: Int64) {
        // Years of four digits.
        self.seconds = min(max(seconds, -62_135_596_800), 253_402_300_799)
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
    private static let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    /// Python's `strftime`; nil when the format has something that is not known.
    func formatted(_ format: String) -> String? {
        var result = ""
        var scalars = format.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            guard var letter = scalars.next() else { return nil }
            let isPadded = letter != "-"
            if !isPadded {
                guard let next = scalars.next() else { return nil }
                letter = next
            }
            guard let field = field(letter, isPadded: isPadded) else { return nil }
            result += field
        }
        return result
    }

    private func field(_ letter: Unicode.Scalar, isPadded: Bool) -> String? {
        let (day, time) = ((seconds - remainder) / 86_400, remainder)
        let date = Self.date(day)
        let hour = Int(time / 3600)
        func padded(_ value: Int, _ digits: Int) -> String {
            let text = String(value)
            return isPadded ? String(repeating: "0", count: max(0, digits - text.utf8.count)) + text : text
        }
        let weekday = Int(((day + 4) % 7 + 7) % 7)
        switch letter {
        case "Y": return String(date.year)
        case "y": return padded(date.year % 100, 2)
        case "m": return padded(date.month, 2)
        case "d": return padded(date.day, 2)
        case "e": return String(repeating: " ", count: date.day < 10 ? 1 : 0) + String(date.day)
        case "B": return Self.months[date.month - 1]
        case "b", "h": return String(Self.months[date.month - 1].prefix(3))
        case "A": return Self.days[weekday]
        case "a": return String(Self.days[weekday].prefix(3))
        case "w": return String(weekday)
        case "u": return String(weekday == 0 ? 7 : weekday)
        case "j": return padded(Int(day - Self.firstDay(of: date.year)) + 1, 3)
        case "H": return padded(hour, 2)
        case "I": return padded((hour + 11) % 12 + 1, 2)
        case "p": return hour < 12 ? "AM" : "PM"
        case "M": return padded(Int(time / 60 % 60), 2)
        case "S": return padded(Int(time % 60), 2)
        case "F": return formatted("%Y-%m-%d")
        case "D": return formatted("%m/%d/%y")
        case "T": return formatted("%H:%M:%S")
        case "Z": return "UTC"
        case "z": return "+0000"
        case "%": return "%"
        default: return nil
        }
    }

    /// Seconds since midnight.
    private var remainder: Int64 { (seconds % 86_400 + 86_400) % 86_400 }

    /// The date of a day since 1970, in the Gregorian calendar; years begin in March while it is worked out.
    private static func date(_ day: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let civilMonth = month < 10 ? month + 3 : month - 9
        return (
            Int(yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0)), Int(civilMonth),
            Int(dayOfYear - (153 * month + 2) / 5 + 1)
        )
    }

    private static func firstDay(of year: Int) -> Int64 {
        let before = Int64(year - 1)
        return before * 365 + before / 4 - before / 100 + before / 400 - 719_162
    }
}
