import Glibc
import LMSupport

/// Which device computes, and why.
struct DeviceChoice {
    /// For people: what was chosen and why.
    let explanation: String

    /// Decides what `--device` means on this machine.
    ///
    /// - Throws: one sentence with what was looked for, where, and the fix, when the device is not here.
    init(_ requested: ModelSettings.Device) throws(ProgramError) {
        let missing = Self.missingForNPU()
        switch (requested, missing) {
        case (.cpu, _): explanation = "cpu (as asked for)"
        case (.auto, let missing?): explanation = "cpu (no Ascend NPU: \(missing))"
        case (.auto, nil): explanation = "cpu (there is an Ascend NPU, but this build has no back end for it)"
        case (.npu, let missing?):
            throw ProgramError(
                .failure,
                "--device npu: \(missing); install the Ascend driver and CANN, source their set_env.sh, "
                    + "or use --device cpu")
        case (.npu, nil):
            throw ProgramError(
                .failure,
                "--device npu: the driver and libascendcl.so are here, but this build has no Ascend back end; "
                    + "use --device cpu")
        }
    }

    /// What an Ascend NPU needs and this machine lacks; nil when both are here.
    private static func missingForNPU() -> String? {
        let devices = "/dev/davinci_manager"
        guard access(devices, F_OK) == 0 else { return "found no \(devices)" }
        let home = environmentValue("ASCEND_HOME_PATH") ?? "/usr/local/Ascend/ascend-toolkit/latest"
        let folders =
            (environmentValue("LD_LIBRARY_PATH") ?? "").split(separator: ":").map(String.init) + ["\(home)/lib64"]
        let isFound = folders.contains { access("\($0)/libascendcl.so", R_OK) == 0 }
        return isFound ? nil : "found no libascendcl.so in \(folders.joined(separator: ", "))"
    }
}
