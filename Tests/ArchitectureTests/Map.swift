/// The map of ARCHITECTURE.md as data: which module may import which. Anything else is a violation.
struct Map {
    /// What a folder under Sources or Benchmarks holds and may use.
    struct Room {
        /// Name of the module in the folder.
        let module: String
        /// Modules of this package, exactly as Package.swift must declare them.
        let dependencies: Set<String>
        /// Modules of the toolchain.
        let system: Set<String>

        init(_ module: String, _ dependencies: Set<String>, system: Set<String>) {
            self.module = module
            self.dependencies = dependencies
            self.system = system
        }
    }

    /// Folder under Sources or Benchmarks -> its room.
    static let rooms: [String: Room] = {
        // No Foundation on the token path: smaller programs, faster start, and no hidden allocation or locale.
        let bare: Set<String> = ["Glibc", "Synchronization"]
        let tools: Set<String> = ["Glibc", "Synchronization", "FoundationEssentials"]
        return [
            "Protocol": Room("LMProtocol", ["CChecksum"], system: []),
            "Transport": Room("LMTransport", ["CLinux", "COpenSSL"], system: bare),
            "JSON": Room("LMJSON", [], system: []),
            "Template": Room("LMTemplate", ["LMJSON"], system: []),
            "Engine": Room("LMEngine", ["CAscend", "CKernels", "LMJSON", "LMTemplate"], system: bare),
            "Server": Room("LMServer", ["LMProtocol", "LMTransport", "LMEngine"], system: bare),
            "Client": Room("LMClient", ["LMProtocol", "LMTransport"], system: bare),
            "Conformance": Room("LMConformance", ["LMTransport", "COpenSSL"], system: bare),
            "Support": Room("LMSupport", [], system: tools),
            "lmserve": Room("lmserve", ["LMServer", "LMEngine", "LMSupport"], system: tools),
            "lmcall": Room("lmcall", ["LMClient", "LMConformance", "LMJSON", "LMSupport"], system: tools),
            "lmload": Room("lmload", ["LMClient", "LMSupport"], system: tools),
            "AscendSim": Room("AscendSim", ["CAscend"], system: bare),
            "WireServer": Room("WireServer", ["LMServer", "LMEngine", "CAllocations"], system: bare),
        ]
    }()

    /// Folders of C code, which import nothing of ours.
    static let cFolders: Set<String> = [
        "CAscend", "CChecksum", "CKernels", "CLinux", "COpenSSL", "CAllocations", "wire-yardstick",
    ]
}
