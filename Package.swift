// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is compiled alike: Swift 6 language mode and the checks that keep module borders honest.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// One room of the map in ARCHITECTURE.md. Its module carries the `LM` prefix, its folder does not.
func room(_ folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: "LM" + folder, dependencies: dependencies, path: "Sources/" + folder,
        swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/" + name, swiftSettings: settings)
}

/// Stands in for a machine. Optimised in every build: tests run whole models on it.
func simulator(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/" + name,
        swiftSettings: settings + [.unsafeFlags(["-O"])])
}

/// A program of Benchmarks, built with the rest so that it cannot fall behind.
func benchmark(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Benchmarks/" + name, swiftSettings: settings)
}

/// What tests of several rooms share.
func kit(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Tests/" + name, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name, dependencies: ["TestKit"] + dependencies, path: "Tests/" + name,
        swiftSettings: settings + [.unsafeFlags(["-Onone"])])
}

let package = Package(
    name: "lmcall",
    products: [
        .library(name: "LMClient", targets: ["LMClient"]),
        .library(name: "LMEngine", targets: ["LMEngine"]),
        .library(name: "AscendSim", type: .dynamic, targets: ["AscendSim"]),
        .executable(name: "lmserve", targets: ["lmserve"]),
        .executable(name: "lmcall", targets: ["lmcall"]),
        .executable(name: "lmload", targets: ["lmload"]),
    ],
    targets: [
        room("Protocol", ["CChecksum"]),
        room("Transport", ["CLinux", "COpenSSL"]),
        room("JSON"),
        room("Template", ["LMJSON"]),
        room("Engine", ["CAscend", "CKernels", "LMJSON", "LMTemplate"]),
        room("Server", ["LMProtocol", "LMTransport", "LMEngine"]),
        room("Client", ["LMProtocol", "LMTransport"]),
        room("Conformance", ["LMTransport", "COpenSSL"]),
        room("Support"),

        .target(name: "CAscend", path: "Sources/CAscend"),
        simulator("AscendSim", ["CAscend"]),
        .target(name: "CChecksum", path: "Sources/CChecksum"),
        .target(name: "CKernels", path: "Sources/CKernels"),
        .target(name: "CLinux", path: "Sources/CLinux"),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/COpenSSL", pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]),

        program("lmserve", ["LMServer", "LMEngine", "LMSupport"]),
        program("lmcall", ["LMClient", "LMConformance", "LMJSON", "LMSupport"]),
        program("lmload", ["LMClient", "LMSupport"]),
        benchmark("WireServer", ["LMServer", "LMEngine", "CAllocations"]),
        .target(name: "CAllocations", path: "Benchmarks/CAllocations"),

        kit("TestKit", ["LMEngine"]),
        kit("FuzzProperties", ["LMProtocol", "LMEngine", "LMJSON", "LMTemplate"]),
        kit("ProgramKit", ["TestKit", "LMSupport"]),
        kit("ChaosKit", ["TestKit"]),
        kit("SimulationKit", ["TestKit", "LMServer", "LMClient", "LMEngine", "LMTransport", "LMProtocol"]),
        .executableTarget(
            name: "model-folder", dependencies: ["TestKit"], path: "Tests/model-folder", swiftSettings: settings),
        .executableTarget(
            name: "simulate", dependencies: ["SimulationKit"], path: "Tests/simulate", swiftSettings: settings),
        tests("ArchitectureTests", []),
        tests("ProtocolTests", ["LMProtocol"]),
        tests("TransportTests", ["LMTransport"]),
        tests("KernelTests", ["CKernels"]),
        tests("AscendTests", ["ProgramKit", "LMClient", "LMEngine"]),
        tests("AscendSimTests", ["CAscend", "ProgramKit"]),
        tests("EngineTests", ["LMEngine", "LMJSON"]),
        tests("SchedulingTests", ["LMEngine"]),
        tests("JSONTests", ["LMJSON"]),
        tests("TemplateTests", ["LMTemplate", "LMJSON"]),
        tests("SupportTests", ["LMSupport"]),
        tests("ServerTests", ["LMServer", "LMProtocol", "LMEngine"]),
        tests("ClientTests", ["LMClient", "LMProtocol", "LMTransport"]),
        tests("ConformanceTests", ["ProgramKit", "LMConformance"]),
        tests("EndToEndTests", ["ProgramKit", "LMSupport", "LMClient", "LMJSON"]),
        tests("FuzzTests", ["FuzzProperties"]),
        tests("TortureTests", ["LMServer", "LMClient", "LMTransport", "LMProtocol", "LMEngine"]),
        tests("ChaosTests", ["ChaosKit", "ProgramKit", "LMClient", "LMProtocol", "LMTransport"]),
    ]
)

// Sanitizers need builds of their own, which take long: scripts/sanitize has only the tests that it runs in them.
if let wanted = Context.environment["LM_TEST_TARGETS"]?.split(separator: ",") {
    package.targets.removeAll { $0.type == .test && !wanted.contains($0.name[...]) }
}

// The cases of conformance wait for a server: optimizing them takes longer than it saves.
for target in package.targets where target.name == "LMConformance" {
    target.swiftSettings?.append(.unsafeFlags(["-Onone"]))
}

// What tests with sanitizers ask of the rooms is little: optimizing them takes longer than they then run. Protocol is another
// matter, it sums up every byte.
if Context.environment["LM_QUICK_BUILD"] != nil {
    for target in package.targets where target.name.hasPrefix("LM") && target.name != "LMProtocol" {
        target.swiftSettings?.append(.unsafeFlags(["-Onone"]))
    }
}

// The fuzzer is part of AddressSanitizer's build (scripts/lib.sh), which names libFuzzer's archive; what it feeds counts its
// branches.
if let archive = Context.environment["LM_FUZZ_ARCHIVE"] {
    let fed = ["LMProtocol", "LMJSON", "LMTemplate", "LMEngine", "FuzzProperties"]
    for target in package.targets where fed.contains(target.name) {
        target.swiftSettings?.append(.unsafeFlags(["-sanitize=fuzzer,address"]))
    }
    package.targets.append(
        .executableTarget(
            name: "lmfuzz", dependencies: ["FuzzProperties"], path: "Fuzz/lmfuzz", swiftSettings: settings,
            linkerSettings: [.unsafeFlags(["-Xlinker", archive, "-lstdc++"])]))
}
