import LMEngine
import LMSupport
import Synchronization

/// Tells people of devices that do not answer, and ends the process when none is left that does: whoever started it can
/// start it again, and nothing else ends a call that hangs.
final class HungDevices: Sendable {
    private let engineCount: Int
    /// Engines that have not come back in the time they had.
    private let lost = Mutex<Set<Int>>([])

    /// - Parameter engines: all that serve.
    init(engines: Int) { engineCount = engines }

    /// What watches the device of an engine, also before there is one.
    func watch(ofEngine index: Int = 0) -> DeviceHang.Watch {
        var watch = DeviceHang.Watch()
        watch.tell = { [self] in note($0, ofEngine: index) }
        return watch
    }

    /// Something has become of an engine's device.
    private func note(_ hang: DeviceHang, ofEngine index: Int) {
        let name = engineCount == 1 ? "NPU" : "NPU, copy \(index)"
        switch hang {
        case .began(let text):
            StandardStream.error.note("\(name): \(text)")
        case .ended(let text):
            lost.withLock { _ = $0.remove(index) }
            StandardStream.error.note("\(name): \(text)")
        case .isFinal(let text):
            let isLast = lost.withLock { lost in
                lost.insert(index)
                return lost.count == engineCount
            }
            let consequence =
                isLast
                ? "the server ends with status \(ExitCode.deviceHung.rawValue), to be started again"
                : "the other copies go on serving; restart the server to have this one back"
            StandardStream.error.note("\(name): \(text); \(consequence)")
            if isLast { abandonProgram(.deviceHung) }
        case .inStart(let text):
            StandardStream.error.note(
                "\(name): \(text), and nothing works before it does; the program ends with status "
                    + "\(ExitCode.deviceHung.rawValue), to be started again; --device cpu does without the NPU")
            abandonProgram(.deviceHung)
        }
    }
}
