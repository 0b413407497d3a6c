//! C programs against the header and the libraries as they are built: compiled by the system's compiler without a warning, run, and
//! run under valgrind. What is missing on the machine fails the test, and is named.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Components made of a few lines of text, as the Rust host's tests use them.
#[path = "../../runtime/tests/common/mod.rs"]
mod hostile;

/// Takes memory till there is no more.
const BOMB: &str = "(block $full (loop $more
    (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1))) (br $more))) unreachable";

/// What every compiler is asked for.
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
/// What a program needs of the system where it is linked with the static library: README.md names them, too.
const SYSTEM_LIBRARIES: [&str; 5] = ["-lgcc_s", "-lpthread", "-lm", "-ldl", "-lc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project")
}

/// Where the package is installed, by its own script: what every program here is compiled and linked with.
fn installed() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
        // Where cargo has put the libraries: beside this test.
        let built = std::env::current_exe().expect("a path").parent().expect("a folder").to_owned();
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        let _ = fs::remove_dir_all(&prefix);
        let arguments: [&OsStr; 4] =
            ["host/c/install.sh".as_ref(), "--built".as_ref(), built.as_ref(), prefix.as_ref()];
        let told = succeeded("install.sh", &system("sh", "dash", &arguments));
        assert!(told.contains("libsoftfuse.so") && told.contains("libsoftfuse.a"), "{told}");
        prefix
    });
    &INSTALLED
}

fn made(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

/// Runs a program of the system's. Where it isn't there, the test fails with the package's name.
fn system(program: &str, package: &str, arguments: &[&OsStr]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    output.unwrap_or_else(|error| panic!("`{program}`: {error}. On Debian: apt-get install {package}"))
}

fn succeeded(what: &str, output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Compiles a source, and links it.
fn compile(compiler: &str, package: &str, standard: &str, source: &Path, name: &str, link: &[&OsStr]) -> PathBuf {
    let (program, include) = (made(name), installed().join("include"));
    let mut arguments: Vec<&OsStr> = STRICT.iter().map(OsStr::new).collect();
    let own: [&OsStr; 6] =
        ["-g".as_ref(), standard.as_ref(), "-pthread".as_ref(), "-I".as_ref(), include.as_ref(), source.as_ref()];
    arguments.extend(own);
    arguments.extend(["-o".as_ref(), program.as_os_str()]);
    arguments.extend(link);
    succeeded(&format!("{compiler} {}", source.display()), &system(compiler, package, &arguments));
    program
}

/// Links with the shared library, found where it lies.
fn shared(compiler: &str, package: &str, standard: &str, source: &Path, name: &str) -> PathBuf {
    let libraries = installed().join("lib");
    let (search, run) = (format!("-L{}", libraries.display()), format!("-Wl,-rpath,{}", libraries.display()));
    compile(compiler, package, standard, source, name, &[search.as_ref(), run.as_ref(), "-lsoftfuse".as_ref()])
}

fn all() -> PathBuf {
    root().join("host/c/tests/programs/all.c")
}

fn quickstart() -> PathBuf {
    root().join("examples/quickstart/c/main.c")
}

/// The folder for compiled code, which the first program fills.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

const DONE: &str = "all is as it should be\n";

#[test]
fn a_program_that_uses_everything() {
    let program = shared("cc", "gcc", "-std=c11", &all(), "all");
    let output = Command::new(&program).arg(cache()).output().expect("it was just made");
    assert_eq!(succeeded("all.c", &output), DONE);
}

#[test]
fn the_quickstart_says_what_it_says_in_every_language() {
    let program = shared("cc", "gcc", "-std=c11", &quickstart(), "quickstart");
    let expected = fs::read_to_string(root().join("examples/quickstart/expected.txt")).expect("expected.txt");
    let output = Command::new(&program).current_dir(root()).env("SOFTFUSE_CACHE_DIR", cache()).output().expect("made");
    assert_eq!(succeeded("the quickstart", &output), expected);
    // A policy that isn't there is an error in words.
    let output = Command::new(&program).arg("nowhere.toml").env("SOFTFUSE_CACHE_DIR", cache()).output().expect("made");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.toml"), "{output:?}");
}

#[test]
fn the_quickstart_linked_statically() {
    let library = installed().join("lib/libsoftfuse.a");
    let mut link: Vec<&OsStr> = vec![library.as_ref()];
    link.extend(SYSTEM_LIBRARIES.iter().map(OsStr::new));
    let program = compile("cc", "gcc", "-std=c11", &quickstart(), "quickstart-static", &link);
    let expected = fs::read_to_string(root().join("examples/quickstart/expected.txt")).expect("expected.txt");
    let output = Command::new(&program).current_dir(root()).env("SOFTFUSE_CACHE_DIR", cache()).output().expect("made");
    assert_eq!(succeeded("the quickstart", &output), expected);
}

#[test]
fn the_header_is_cplusplus_too() {
    let source = made("header.cpp");
    let text = "// The header, used from C++.\n#include <softfuse.h>\n#include <cstring>\n\
        int main() {\n    sf_outcome outcome = SF_INIT(sf_outcome);\n    outcome.kind = SF_TIMEOUT;\n    \
        sf_permit permit;\n    sf_code code = sf_permit_take(nullptr, &permit, nullptr);\n    \
        bool right = code == SF_INVALID_ARGUMENT && outcome.size == sizeof(sf_outcome);\n    \
        return right && std::strcmp(sf_version(), \"0.1.0\") == 0 ? 0 : 1;\n}\n";
    fs::write(&source, text).expect("a source");
    for standard in ["-std=c++11", "-std=c++20"] {
        let program = shared("c++", "g++", standard, &source, &format!("header{standard}"));
        succeeded(standard, &Command::new(&program).output().expect("it was just made"));
    }
}

/// The package as pkg-config finds it, by a program in C and one in C++; and no name of the source tree in it.
#[test]
fn programs_against_the_installed_package() {
    let prefix = installed();
    let ask = |arguments: &[&str]| {
        let asked = Command::new("pkg-config")
            .args(arguments)
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .output()
            .unwrap_or_else(|error| panic!("`pkg-config`: {error}. On Debian: apt-get install pkg-config"));
        succeeded("pkg-config", &asked)
    };
    assert_eq!(ask(&["--modversion", "softfuse"]).trim(), env!("CARGO_PKG_VERSION"));
    let flags = ask(&["--cflags", "--libs", "softfuse"]);
    let expected = fs::read_to_string(root().join("examples/quickstart/expected.txt")).expect("expected.txt");
    let folder = tempfile::tempdir().expect("a folder");
    let in_c = fs::read_to_string(quickstart()).expect("the example");
    // C++ has no designated initializers before C++20, and SF_INIT needs none there.
    for (compiler, package, standard, name) in
        [("cc", "gcc", "-std=c11", "quickstart.c"), ("c++", "g++", "-std=c++11", "quickstart.cpp")]
    {
        let (source, program) = (folder.path().join(name), folder.path().join(format!("{name}.out")));
        fs::write(&source, &in_c).expect("a source");
        let compiled = Command::new(compiler)
            .args(STRICT)
            .args([standard.as_ref(), source.as_os_str(), "-o".as_ref(), program.as_ref()])
            .args(flags.split_whitespace())
            .output()
            .unwrap_or_else(|error| panic!("`{compiler}`: {error}. On Debian: apt-get install {package}"));
        succeeded(compiler, &compiled);
        let output = Command::new(&program)
            .current_dir(root())
            .env("SOFTFUSE_CACHE_DIR", cache())
            .env("LD_LIBRARY_PATH", prefix.join("lib"))
            .output()
            .expect("it was just made");
        assert_eq!(succeeded(name, &output), expected);
    }
}

/// Programs ask for the library by the name of its ABI; the plain one is for linking, and both lead to the file of this version.
#[cfg(target_os = "linux")]
#[test]
fn the_shared_library_goes_by_its_abi() {
    let folder = installed().join("lib");
    let read = system("readelf", "binutils", &["-d".as_ref(), folder.join("libsoftfuse.so").as_os_str()]);
    let dynamic = succeeded("readelf", &read);
    assert!(dynamic.contains("Library soname: [libsoftfuse.so.0]"), "{dynamic}");
    let version = concat!("libsoftfuse.so.", env!("CARGO_PKG_VERSION"));
    for (link, to) in [("libsoftfuse.so", "libsoftfuse.so.0"), ("libsoftfuse.so.0", version)] {
        assert_eq!(fs::read_link(folder.join(link)).expect("a link"), Path::new(to), "{link}");
    }
    let program = shared("cc", "gcc", "-std=c11", &quickstart(), "quickstart-needs");
    let needed = succeeded("readelf", &system("readelf", "binutils", &["-d".as_ref(), program.as_os_str()]));
    assert!(needed.contains("Shared library: [libsoftfuse.so.0]"), "{needed}");
}

/// What packages are made by: files below DESTDIR that speak of PREFIX. And what can't be installed says so.
#[test]
fn the_script_that_installs() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = folder.path().join("built");
    fs::create_dir(&built).expect("a folder");
    let run = |arguments: &[&OsStr]| {
        let mut command = Command::new("sh");
        command.arg(root().join("host/c/install.sh")).args(arguments).env("DESTDIR", folder.path().join("stage"));
        command.output().expect("sh")
    };
    let nothing = run(&["--built".as_ref(), built.as_ref(), "/opt/softfuse".as_ref()]);
    assert!(
        !nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("no libsoftfuse_c"),
        "{nothing:?}"
    );
    let usage = run(&["--prefix=/opt".as_ref()]);
    assert!(usage.status.code() == Some(2) && String::from_utf8_lossy(&usage.stderr).contains("usage"), "{usage:?}");
    fs::write(built.join("libsoftfuse_c.a"), "an archive").expect("a file");
    succeeded("install.sh", &run(&["--built".as_ref(), built.as_ref(), "/opt/softfuse".as_ref()]));
    let to = folder.path().join("stage/opt/softfuse");
    assert_eq!(fs::read_to_string(to.join("lib/libsoftfuse.a")).expect("the archive"), "an archive");
    let package = fs::read_to_string(to.join("lib/pkgconfig/softfuse.pc")).expect("softfuse.pc");
    assert!(package.contains("prefix=/opt/softfuse\n") && !package.contains("stage"), "{package}");
    assert!(to.join("include/softfuse.h").is_file() && !to.join("lib/libsoftfuse.so").exists());

    // What an earlier version has left is no part of this one.
    fs::write(to.join("lib/libsoftfuse.so"), "an old one").expect("a file");
    fs::write(built.join("libsoftfuse_c.a"), "a new archive").expect("a file");
    let old = run(&["--built".as_ref(), built.as_ref(), "/opt/softfuse".as_ref()]);
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(!old.status.success() && said.contains("libsoftfuse.so is there from before"), "{old:?}");
    assert_eq!(fs::read_to_string(to.join("lib/libsoftfuse.a")).expect("the archive"), "an archive");
    fs::remove_file(to.join("lib/libsoftfuse.so")).expect("an old one");
    let leftover = to.join(concat!("lib/libsoftfuse.so.", env!("CARGO_PKG_VERSION")));
    fs::write(&leftover, "an old one").expect("a file");
    let told = succeeded("install.sh", &run(&["--built".as_ref(), built.as_ref(), "/opt/softfuse".as_ref()]));
    assert!(!told.contains("libsoftfuse.so") && !to.join("lib/libsoftfuse.so").exists(), "{told}");
    assert_eq!(fs::read_to_string(to.join("lib/libsoftfuse.a")).expect("the archive"), "a new archive");
}

/// Folders may have any name: what pkg-config says of them is a shell's words again.
#[test]
fn the_package_lies_wherever_it_is_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = folder.path().join("built");
    fs::create_dir(&built).expect("a folder");
    fs::write(built.join("libsoftfuse_c.a"), "an archive").expect("a file");
    for name in ["this & that", "either|or", "back\\slash"] {
        let prefix = folder.path().join(name);
        let arguments: [&OsStr; 4] =
            ["host/c/install.sh".as_ref(), "--built".as_ref(), built.as_ref(), prefix.as_ref()];
        succeeded("install.sh", &system("sh", "dash", &arguments));
        let package = fs::read_to_string(prefix.join("lib/pkgconfig/softfuse.pc")).expect("softfuse.pc");
        assert!(package.contains(&format!("prefix={}\n", prefix.display())), "{package}");
    }
    // A shell takes what pkg-config says for the folders' names.
    let ask = "eval \"set -- $(pkg-config --cflags --libs-only-L softfuse)\"; printf '%s\\n' \"$@\"";
    let prefix = folder.path().join("this & that");
    let asked = Command::new("sh").args(["-c", ask]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).output();
    let said = succeeded("pkg-config", &asked.expect("sh"));
    let words: Vec<&str> = said.lines().map(str::trim_end).collect();
    let (include, lib) = (format!("-I{}/include", prefix.display()), format!("-L{}/lib", prefix.display()));
    assert_eq!(words, [include, lib], "{said}");
}

/// Components that trap, loop and eat memory, through the ABI: calls go on, and codes say what has happened.
#[test]
fn hostile_components_harm_no_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a component");
        path
    };
    let components = [
        write("breaker.wasm", hostile::hostile_breaker()),
        write("loop.wasm", hostile::scorer("(loop $ever (br $ever)) unreachable")),
        write("bomb.wasm", hostile::scorer(BOMB)),
        write("trap.wasm", hostile::scorer("unreachable")),
    ];
    let source = root().join("host/c/tests/programs/hostile.c");
    let program = shared("cc", "gcc", "-std=c11", &source, "hostile");
    let output = Command::new(&program).arg(cache()).args(components).output().expect("it was just made");
    assert_eq!(succeeded("hostile.c", &output), DONE);
}

/// README.md's program is the example, and its other pieces compile.
#[test]
fn the_readme_is_right() {
    let readme = fs::read_to_string(root().join("host/c/README.md")).expect("README.md");
    let mut pieces = readme.split("```c\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let example = fs::read_to_string(quickstart()).expect("the example");
    assert_eq!(pieces.next(), Some(example.as_str()), "README.md's quickstart is not examples/quickstart/c/main.c");
    let mut source = "#include <softfuse.h>\n#include <stdio.h>\n#include <string.h>\n\
        static int64_t read_my_clock(void *user) { return *(int64_t *)user; }\n"
        .to_owned();
    let mut count = 0;
    for (at, piece) in pieces.enumerate() {
        count += 1;
        source += &format!(
            "void piece_{at}(sf_registry *registry, sf_policy *policy, sf_breaker *breaker, sf_error *error) {{\n    \
             (void)registry, (void)policy, (void)breaker, (void)error, (void)read_my_clock;\n{piece}}}\n"
        );
    }
    assert!(count >= 6, "only {count} pieces");
    let path = made("readme.c");
    fs::write(&path, source).expect("a source");
    let link: [&OsStr; 3] = ["-c".as_ref(), "-Wno-missing-prototypes".as_ref(), "-O1".as_ref()];
    compile("cc", "gcc", "-std=c11", &path, "readme.o", &link);
}

/// No memory is lost, and none is used that isn't ours: the same program, under valgrind.
#[test]
fn valgrind_finds_nothing() {
    let program = shared("cc", "gcc", "-std=c11", &all(), "all-valgrind");
    // Compiled code comes from the cache: compiling takes minutes under valgrind.
    let output = Command::new(&program).arg(cache()).output().expect("it was just made");
    assert_eq!(succeeded("all.c", &output), DONE);
    let cache = cache();
    let arguments: [&OsStr; 9] = [
        "--error-exitcode=99".as_ref(),
        "--leak-check=full".as_ref(),
        // What an engine's own threads still hold when the program ends is held by pointers into the middle of it, which memcheck calls
        // possibly lost. What nobody holds any more is an error.
        "--errors-for-leak-kinds=definite,indirect".as_ref(),
        "--show-leak-kinds=definite,indirect".as_ref(),
        // Compiled WebAssembly is code that the program has written.
        "--smc-check=all-non-file".as_ref(),
        "--num-callers=30".as_ref(),
        "--quiet".as_ref(),
        program.as_ref(),
        cache.as_ref(),
    ];
    let output = system("valgrind", "valgrind", &arguments);
    assert_eq!(succeeded("valgrind", &output), DONE);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
