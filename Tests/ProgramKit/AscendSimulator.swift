internal import Glibc

/// The simulated Ascend device in place of CANN, of which a process has one.
package enum AscendSimulator {
    /// The settings of docs/simulated-ascend.md, without their prefix.
    private static let settings = [
        "SOC", "CANN", "DELAY_US", "HBM_BYTES", "FAULTS", "TRACE", "SEED", "DEVICES", "COMPUTE",
        "DCMI", "ABSENT",
    ]

    private static let machine = Result {
        let path = try Programs.path("libAscendSim.so")
        guard let library = dlopen(path, RTLD_NOW), let restart = dlsym(library, "asc_sim_restart") else {
            throw ChildProcess.Failure(description: String(cString: dlerror()))
        }
        setenv("LM_ASCEND_LIBRARY", path, 1)
        return unsafeBitCast(restart, to: (@convention(c) () -> Int32).self)
    }

    /// Makes the library known to the loader, which has to be before anything asks for it.
    package static func announce() throws { _ = try machine.get() }

    /// Starts the machine anew with settings LM_ASCENDSIM_… and no others; nothing may hold on to what it had.
    package static func restart(_ settings: [String: String] = [:]) throws {
        let restart = try machine.get()
        for name in Self.settings { unsetenv("LM_ASCENDSIM_" + name) }
        for (name, value) in settings { setenv("LM_ASCENDSIM_" + name, value, 1) }
        let code = restart()
        guard code == 0 else { throw ChildProcess.Failure(description: "the simulated device starts with \(code)") }
    }
}
