//! The table of messages: name and values, English text, Indonesian text.

use super::Lang;

macro_rules! messages {
    ($($name:ident { $($field:ident),* } = $en:literal, $id:literal;)*) => {
        /// A message with its values.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the texts below say what each message is")]
        pub(crate) enum Msg {
            $($name { $($field: String),* },)*
        }

        impl Msg {
            /// The text in `lang`.
            pub(crate) fn text(&self, lang: Lang) -> String {
                match (self, lang) {
                    $(
                        (Self::$name { $($field),* }, Lang::En) => format!($en),
                        (Self::$name { $($field),* }, Lang::Id) => format!($id),
                    )*
                }
            }
        }

        /// Name, English and Indonesian text of each message.
        #[cfg(test)]
        pub(super) const TEXTS: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $id)),*];
    };
}

messages! {
    // The frame of an error.
    ErrorPrefix {} = "error", "galat";
    Interrupted {} = "interrupted", "dihentikan";
    OutputFailed { reason } = "standard output: {reason}", "keluaran standar: {reason}";
    FileFailed { path, reason } = "{path}: {reason}", "{path}: {reason}";
    FileUnreadable { path, reason } =
        "{path}: cannot be read: {reason}",
        "{path}: tidak dapat dibaca: {reason}";
    DiskFull { path } =
        "{path}: no space left on the disk; free some, or choose another folder with --data-dir",
        "{path}: ruang disk habis; kosongkan sebagian, atau pilih folder lain dengan --data-dir";
    NoHome {} =
        "no data folder: neither HOME nor XDG_DATA_HOME is set; name one with --data-dir",
        "folder data tidak ada: HOME dan XDG_DATA_HOME belum diatur; tentukan dengan --data-dir";

    // Wrong usage.
    UsageUnknownArgument { argument, verb } =
        "unknown argument {argument}; see terang {verb}--help",
        "argumen {argument} tidak dikenal; lihat terang {verb}--help";
    UsageUnknownVerb { argument } =
        "unknown verb {argument}; see terang --help",
        "perintah {argument} tidak dikenal; lihat terang --help";
    UsageUnknownVerbNear { argument, nearest } =
        "unknown verb {argument}; did you mean {nearest}? see terang --help",
        "perintah {argument} tidak dikenal; maksud Anda {nearest}? lihat terang --help";
    UsageInvalidValue { argument, value, allowed, verb } =
        "{argument}: found {value}, allowed {allowed}; see terang {verb}--help",
        "{argument}: ditemukan {value}, seharusnya {allowed}; lihat terang {verb}--help";
    UsageMissingArgument { argument, verb } =
        "missing {argument}; see terang {verb}--help",
        "{argument} belum diberikan; lihat terang {verb}--help";
    UsageConflict { argument, other, verb } =
        "{argument} and {other} cannot be used together; see terang {verb}--help",
        "{argument} dan {other} tidak dapat dipakai bersama; lihat terang {verb}--help";
    UsageOther { reason, verb } =
        "{reason}; see terang {verb}--help",
        "{reason}; lihat terang {verb}--help";
    NumberRange { low, high } = "a number from {low} to {high}", "bilangan {low} sampai {high}";
    NumberWhole {} = "a whole number", "bilangan bulat";
    OneOf { values } = "one of {values}", "salah satu dari {values}";

    // Models and the catalogue.
    CatalogueInvalid { path, reason } =
        "{path}: not a valid catalogue: {reason}",
        "{path}: bukan katalog yang sah: {reason}";
    ModelUnknown { name } =
        "model {name} is not in the catalogue and not a file; see terang list",
        "model {name} tidak ada di katalog dan bukan berkas; lihat terang list";
    ModelUnknownNear { name, nearest } =
        "model {name} is not in the catalogue; did you mean {nearest}? see terang list",
        "model {name} tidak ada di katalog; maksud Anda {nearest}? lihat terang list";
    ModelPathMissing { path } =
        "{path}: no such model file or folder",
        "{path}: berkas atau folder model tidak ada";
    ModelPathWrong { path } =
        "{path}: not a model; allowed a .gguf file, or a folder with config.json, tokenizer.json and safetensors",
        "{path}: bukan model; yang diterima berkas .gguf, atau folder dengan config.json, tokenizer.json dan safetensors";
    ModelNotInstalled { name } =
        "model {name} is not installed; get it with terang pull {name}",
        "model {name} belum terpasang; ambil dengan terang pull {name}";
    FolderIsLink { path } =
        "{path}: a symbolic link where a model's folder should be; remove the link",
        "{path}: tautan simbolik di tempat folder model; hapus tautannya";
    ModelEmbeds { name } =
        "model {name} makes embeddings and no text; serve it with terang serve --model {name} and ask /v1/embeddings",
        "model {name} membuat embedding, bukan teks; layani dengan terang serve --model {name} lalu pakai /v1/embeddings";
    ModelDamaged { path, found, expected } =
        "{path}: found {found} bytes, expected {expected}; remove it with terang rm and pull it again",
        "{path}: ditemukan {found} byte, seharusnya {expected}; hapus dengan terang rm lalu ambil lagi";

    // Adapters.
    AdapterForm { adapter } =
        "adapter {adapter}: allowed NAME=PATH or NAME=PATH@MODEL",
        "adaptor {adapter}: seharusnya NAME=PATH atau NAME=PATH@MODEL";
    AdapterModel { name, models } =
        "adapter {name}: several models are served; add @ and one of {models}",
        "adaptor {name}: beberapa model dilayani; tambahkan @ dan salah satu dari {models}";
    AdapterPathMissing { path } =
        "{path}: no such adapter file or folder",
        "{path}: berkas atau folder adaptor tidak ada";
    AdapterPathWrong { path } =
        "{path}: not an adapter; allowed a .gguf file, or a folder with adapter_config.json and adapter_model.safetensors",
        "{path}: bukan adaptor; yang diterima berkas .gguf, atau folder dengan adapter_config.json dan adapter_model.safetensors";

    // Serving.
    Serving { name, url } =
        "{name} is served at {url}; Ctrl-C ends it",
        "{name} dilayani di {url}; Ctrl-C untuk mengakhiri";
    BackedUp { path } =
        "the copy is in {path}; keep it as private as the database",
        "salinan ada di {path}; jaga kerahasiaannya seperti basis datanya";
    Restored { path } =
        "{path} is in its place; terang serve uses it",
        "{path} sudah dipasang; terang serve memakainya";
    RestoredBefore { path } =
        "what was there before is in {path}",
        "isi sebelumnya ada di {path}";
    KeyShownOnce { id } =
        "key {id}: it is shown once and kept nowhere; a running server knows it after SIGHUP",
        "kunci {id}: hanya ditampilkan sekali dan tidak disimpan; server yang berjalan mengenalnya setelah SIGHUP";
    KeyNone {} = "there is no key; make one with terang key create NAME", "belum ada kunci; buat dengan terang key create NAMA";
    KeyRevoked { id, name } =
        "key {id} ({name}) is revoked; a running server knows it after SIGHUP",
        "kunci {id} ({name}) dicabut; server yang berjalan mengetahuinya setelah SIGHUP";

    KeyGone {} = "(revoked)", "(dicabut)";
    KeyUsage { id, name, requests, prompt, completion, today, last } =
        "{id}  {name}  requests={requests}  prompt_tokens={prompt}  completion_tokens={completion}  today_tokens={today}  last={last}",
        "{id}  {name}  requests={requests}  prompt_tokens={prompt}  completion_tokens={completion}  today_tokens={today}  last={last}";

    // Checking the set-up.
    DoctorWell {} = "ok", "baik";
    DoctorWarning {} = "warning", "peringatan";
    DoctorWrong {} = "wrong", "salah";
    DoctorFailed { count } =
        "wrong: {count}; each line above that begins with wrong says what to do",
        "salah: {count}; tiap baris di atas yang diawali salah menyebutkan yang harus dilakukan";
    DoctorSettings {} = "settings: valid", "pengaturan: sah";
    DoctorSettingsNext {} =
        "correct it there; the README lists all settings. What depends on settings was not checked",
        "perbaiki di situ; README memuat semua pengaturan. Yang bergantung pada pengaturan tidak diperiksa";
    DoctorFolder { path, size } = "data folder: {path}, {size} free", "folder data: {path}, tersisa {size}";
    DoctorFolderLocked { path } = "data folder: {path}: cannot be written to", "folder data: {path}: tidak dapat ditulisi";
    DoctorFolderNone { path } = "data folder: {path}: is no folder", "folder data: {path}: bukan folder";
    DoctorFolderNext {} =
        "give this user the right to write there, or choose another folder with --data-dir",
        "beri pengguna ini hak menulis di sana, atau pilih folder lain dengan --data-dir";
    DoctorSpaceNext {} =
        "free some, or choose another folder with --data-dir",
        "kosongkan sebagian, atau pilih folder lain dengan --data-dir";
    DoctorCpu { level, threads, cores } =
        "processor: {level}, threads: {threads} of {cores} cores",
        "prosesor: {level}, utas: {threads} dari {cores} inti";
    DoctorCpuNext {} = "unset TERANG_CPU, or name one that is allowed", "hapus TERANG_CPU, atau sebut yang diterima";
    DoctorThreadsNext {} =
        "more threads than cores are slower; leave --threads away",
        "utas melebihi inti lebih lambat; jangan pakai --threads";
    DoctorScalarNext {} =
        "answers are several times slower than with AVX2 or NEON; unset TERANG_CPU, or take another machine",
        "jawaban beberapa kali lebih lambat daripada dengan AVX2 atau NEON; hapus TERANG_CPU, atau pakai mesin lain";
    DoctorMemory { needed, available } =
        "memory: {needed} for models and their caches when full, {available} available",
        "memori: {needed} untuk model dan temboloknya bila penuh, tersedia {available}";
    DoctorMemoryUnknown { needed } =
        "memory: {needed} for models and their caches when full; what is available is not known here",
        "memori: {needed} untuk model dan temboloknya bila penuh; yang tersedia tidak diketahui di sini";
    DoctorMemoryNext {} =
        "serve smaller or fewer models, or lower context, cache_len or memory_limit_bytes",
        "layani model yang lebih kecil atau lebih sedikit, atau turunkan context, cache_len atau memory_limit_bytes";
    DoctorCatalogueNext {} = "correct the file, or unset TERANG_CATALOGUE", "perbaiki berkasnya, atau hapus TERANG_CATALOGUE";
    DoctorModelMissing { name } = "model {name}: not here yet", "model {name}: belum ada di sini";
    DoctorModelMissingNext { name } =
        "terang serve fetches it at its start; to have it before, run terang pull {name}",
        "terang serve mengambilnya saat mulai; untuk menyiapkannya, jalankan terang pull {name}";
    DoctorModelSize { name, size } =
        "model {name}: {size}, its size is right (--full compares its sha-256)",
        "model {name}: {size}, ukurannya benar (--full membandingkan sha-256)";
    DoctorModelWhole { name, size } = "model {name}: {size}, its sha-256 is right", "model {name}: {size}, sha-256 cocok";
    DoctorAdapter { name, model, size } =
        "adapter {name}: {size}, fits model {model}",
        "adaptor {name}: {size}, cocok dengan model {model}";
    DoctorAdapterUnchecked { name, model } =
        "adapter {name}: not checked, since model {model} could not be read",
        "adaptor {name}: tidak diperiksa, karena model {model} tidak dapat dibaca";
    DoctorAdapterUncheckedNext {} = "see to the model first", "bereskan modelnya dahulu";
    DoctorAdapterNext { name } =
        "correct the setting adapters, or make {name} anew for this model",
        "perbaiki pengaturan adapters, atau buat ulang {name} untuk model ini";
    DoctorModelBrokenNext { name } =
        "get {name} again, or serve another model",
        "ambil lagi {name}, atau layani model lain";
    DoctorAddress { address } = "address {address}: free", "alamat {address}: bebas";
    DoctorAddressTaken { address } = "address {address}: something listens there already", "alamat {address}: sudah dipakai";
    DoctorAddressTakenNext {} =
        "end it (it may be this server, running), or choose another with --listen",
        "akhiri pemakainya (mungkin server ini yang sedang berjalan), atau pilih lain dengan --listen";
    DoctorAddressRefused { address, reason } = "address {address}: {reason}", "alamat {address}: {reason}";
    DoctorAddressRefusedNext {} =
        "choose an address of this machine and a port from 1024 with --listen",
        "pilih alamat mesin ini dan porta mulai 1024 dengan --listen";
    DoctorKeys { count } = "keys: {count}", "kunci: {count}";
    DoctorKeysOptional { count } = "keys: {count}; on loopback none is needed", "kunci: {count}; di loopback tidak diperlukan";
    DoctorKeysMissing { address } =
        "keys: none, and {address} asks for one",
        "kunci: tidak ada, padahal {address} memerlukannya";
    DoctorKeysMissingNext {} =
        "make one with terang key create NAME, or listen on 127.0.0.1",
        "buat dengan terang key create NAMA, atau dengarkan di 127.0.0.1";
    DoctorKeysNext {} =
        "put a good copy in its place, or remove it and make keys anew",
        "ganti dengan salinan yang baik, atau hapus lalu buat kunci baru";
    DoctorPrivate { path } = "{path}: every user of this machine can read it", "{path}: dapat dibaca semua pengguna mesin ini";
    DoctorPrivateNext { path } = "run chmod 600 {path}", "jalankan chmod 600 {path}";
    DoctorTls {} = "tls: the certificate goes with its key", "tls: sertifikat cocok dengan kuncinya";
    DoctorTlsNext {} =
        "name a certificate and its key in PEM with tls_cert and tls_key",
        "sebut sertifikat dan kuncinya dalam PEM dengan tls_cert dan tls_key";
    DoctorTlsNotNeeded { address } = "tls: none; {address} is this machine's own", "tls: tidak ada; {address} milik mesin ini sendiri";
    DoctorTlsNone { address } =
        "tls: none, and other machines reach {address}",
        "tls: tidak ada, padahal {address} terjangkau dari mesin lain";
    DoctorTlsNoneNext {} =
        "set tls_cert and tls_key, or put a proxy with TLS before it: who can read the network reads keys",
        "atur tls_cert dan tls_key, atau pasang proksi TLS di depannya: kunci terbaca oleh yang dapat membaca jaringan";

    // Pulling.
    AlreadyInstalled { name, path } = "{name} is here already: {path}", "{name} sudah ada: {path}";
    Installed { name, size, path } = "{name} is ready ({size}): {path}", "{name} siap ({size}): {path}";
    PullingFrom { name, source } = "pulling {name} from {source}", "mengambil {name} dari {source}";
    ResumingAt { size } = "resuming at {size}", "melanjutkan dari {size}";
    WaitingForLock { name } =
        "another terang is pulling {name}; waiting for it",
        "terang lain sedang mengambil {name}; menunggu";
    HubUnreachable { host } =
        "{host} is not reachable; trying the next source",
        "{host} tidak terjangkau; mencoba sumber berikutnya";
    SourceFailedNext { source, reason } =
        "{source}: {reason}; trying the next source",
        "{source}: {reason}; mencoba sumber berikutnya";
    AllSourcesFailed { name, tried } =
        "model {name} could not be fetched; tried {tried}; check the network and run terang pull {name} again, or give a file with --from",
        "model {name} tidak dapat diambil; sudah dicoba {tried}; periksa jaringan lalu jalankan terang pull {name} lagi, atau beri berkas dengan --from";
    ReasonUnreachable {} = "not reachable", "tidak terjangkau";
    ReasonStatus { status } = "the server answered {status}", "peladen menjawab {status}";
    ReasonSize { found, expected } =
        "size differs: found {found}, expected {expected} bytes",
        "ukuran berbeda: ditemukan {found}, seharusnya {expected} byte";
    ReasonChecksum { found, expected } =
        "sha-256 differs: found {found}, expected {expected}; the download was removed",
        "sha-256 berbeda: ditemukan {found}, seharusnya {expected}; unduhan dihapus";
    ReasonCut { reason } = "the connection broke: {reason}", "sambungan terputus: {reason}";
    ReasonNoFile { path } = "{path} does not exist", "{path} tidak ada";
    ReasonNoPip {} =
        "pip is not installed; install Python with pip",
        "pip tidak terpasang; pasang Python beserta pip";
    ReasonPip { package, reason } = "pip could not fetch {package}: {reason}", "pip gagal mengambil {package}: {reason}";
    ReasonWheel { package, reason } = "{package}: {reason}", "{package}: {reason}";
    WheelMissing {} = "no single wheel came", "tidak ada satu berkas wheel";
    WheelNoMember { member } = "the wheel has no {member}", "wheel tidak memuat {member}";
    ArchiveNoMember { member } = "the archive has no {member}", "arsip tidak memuat {member}";
    ArchiveUnreadable { reason } = "the archive cannot be read: {reason}", "arsip tidak dapat dibaca: {reason}";
    ArchiveMemberDiffers { member } =
        "{member} in the archive is another file than the catalogue's",
        "{member} dalam arsip bukan berkas yang ada di katalog";
    WheelUnreadable { reason } = "the wheel cannot be read: {reason}", "wheel tidak dapat dibaca: {reason}";
    NoSpace { path, needed, free } =
        "{path}: {needed} are needed, {free} are free on the disk; free some, or choose another folder with --data-dir",
        "{path}: perlu {needed}, tersisa {free} di disk; kosongkan sebagian, atau pilih folder lain dengan --data-dir";
    RetryingIn { reason, seconds } = "{reason}; retrying in {seconds} s", "{reason}; mencoba lagi dalam {seconds} d";
    FromMismatch { path, reason } =
        "{path}: {reason}; it is another file than the catalogue's",
        "{path}: {reason}; bukan berkas yang ada di katalog";
    PullInterrupted { name } =
        "interrupted; what has arrived is kept: run terang pull {name} to go on",
        "dihentikan; yang sudah terunduh disimpan: jalankan terang pull {name} untuk melanjutkan";
    LabelPart { part, parts } = "part {part}/{parts}", "bagian {part}/{parts}";
    LabelVerifying {} = "verifying", "memeriksa";
    LabelUnpacking {} = "unpacking", "membongkar";
    LabelLoading {} = "loading", "memuat";

    // list, show, rm.
    ColName {} = "NAME", "NAMA";
    ColState {} = "STATE", "KEADAAN";
    ColSize {} = "SIZE", "UKURAN";
    ColLicence {} = "LICENCE", "LISENSI";
    ColFor {} = "FOR", "UNTUK";
    ForChat {} = "chat", "obrolan";
    ForText {} = "text", "teks";
    ForEmbeddings {} = "embeddings", "embedding";
    ColLanguages {} = "LANGUAGES", "BAHASA";
    StateInstalled {} = "installed", "terpasang";
    StateAvailable {} = "available", "tersedia";
    StatePartial { percent } = "{percent}% fetched", "{percent}% terambil";
    ListHint {} =
        "get one with terang pull NAME; any .gguf file or Hugging Face folder works by its path",
        "ambil dengan terang pull NAMA; berkas .gguf atau folder Hugging Face apa pun dapat dipakai lewat jalurnya";
    ShowTitle {} = "title", "judul";
    ShowTask {} = "for", "untuk";
    ShowAliases {} = "aliases", "nama lain";
    ShowLicence {} = "licence", "lisensi";
    ShowProvenance {} = "provenance", "asal";
    ShowParameters {} = "parameters", "parameter";
    ShowQuantization {} = "quantization", "kuantisasi";
    ShowContext {} = "context", "konteks";
    ShowLanguages {} = "languages", "bahasa";
    ShowChatTemplate {} = "chat template", "templat obrolan";
    ShowSampling {} = "sampling", "penyampelan";
    ShowArchitecture {} = "architecture", "arsitektur";
    ShowLayers {} = "layers", "lapisan";
    ShowHeads {} = "heads", "kepala perhatian";
    ShowKvHeads {} = "key-value heads", "kepala kunci-nilai";
    ShowWidth {} = "width", "lebar";
    ShowVocabulary {} = "vocabulary", "kosakata";
    ShowExperts {} = "experts", "pakar";
    ShowTensors {} = "tensors", "tensor";
    ShowSize {} = "size", "ukuran";
    ShowSha256 {} = "sha-256", "sha-256";
    ShowSources {} = "sources", "sumber";
    ShowFile {} = "file", "berkas";
    ShowPulled {} = "pulled", "diambil";
    CardName {} = "trained as", "dilatih sebagai";
    CardMadeBy {} = "made by", "dibuat oleh";
    CardNumerics {} = "numerics", "numerik";
    CardTraining {} = "training", "pelatihan";
    CardComputed { tokens, flops, watt_hours } =
        "{tokens} tokens, {flops} FLOP, about {watt_hours} Wh",
        "{tokens} token, {flops} FLOP, sekitar {watt_hours} Wh";
    CardEvaluations {} = "evaluations", "evaluasi";
    CardLaw {} = "law", "hukum";
    CardUnder { share, flops, law } =
        "{share} of {flops} FLOP: {law}",
        "{share} dari {flops} FLOP: {law}";
    CardValidation {} = "validation", "validasi";
    CardLoss { loss } = "loss {loss}", "loss {loss}";
    CardRight { share } = "{share} right", "{share} benar";
    CardData {} = "training data", "data latihan";
    CardSource { name, documents, tokens, licence, origin } =
        "{name}: {documents} documents, {tokens} tokens, {licence} {origin}",
        "{name}: {documents} dokumen, {tokens} token, {licence} {origin}";
    CardNoLicence {} = "licence not given", "lisensi tidak disebut";
    CardWeights {} = "weights sha-256", "sha-256 bobot";
    CardParent {} = "made from", "dibuat dari";
    ShowVerified {} = "sha-256 verified", "sha-256 cocok";
    CommunityUpload {} = "community re-upload", "unggahan ulang komunitas";
    Yes {} = "yes", "ya";
    No {} = "no", "tidak";
    ChecksumDiffers { path, found, expected } =
        "{path}: sha-256 differs: found {found}, expected {expected}; remove it with terang rm and pull it again",
        "{path}: sha-256 berbeda: ditemukan {found}, seharusnya {expected}; hapus dengan terang rm lalu ambil lagi";
    RemoveAsk { name, size } = "remove {name} ({size})? [y/N] ", "hapus {name} ({size})? [y/T] ";
    RemoveNeedsYes { name } =
        "removing {name} needs a yes, and there is no terminal to ask at; add --yes",
        "menghapus {name} perlu persetujuan, dan tidak ada terminal untuk bertanya; tambahkan --yes";
    Removed { name, size } = "removed {name} ({size})", "{name} dihapus ({size})";
    NotRemoved { name } = "{name} is kept", "{name} dipertahankan";
    RemoveBusy { name } =
        "model {name} is being pulled by another terang; wait for it or stop it",
        "model {name} sedang diambil oleh terang lain; tunggu atau hentikan";

    // Chat.
    LabelReading {} = "reading the prompt", "membaca pertanyaan";
    NothingAsked {} =
        "nothing was asked; give a question, or run terang chat in a terminal for a conversation",
        "tidak ada pertanyaan; beri pertanyaan, atau jalankan terang chat di terminal untuk bercakap-cakap";
    PromptTooLong { tokens, context } =
        "the prompt has {tokens} tokens, the context holds {context} with at least one for the answer; shorten it, /clear, or raise --context",
        "pertanyaan berisi {tokens} token, konteks memuat {context} termasuk paling sedikit satu untuk jawaban; persingkat, /clear, atau perbesar --context";
    StopEmpty {} = "--stop: found an empty text, allowed one character and more", "--stop: teks kosong, seharusnya satu huruf atau lebih";
    NotAFile {} = "not an ordinary file", "bukan berkas biasa";
    NotText { path } =
        "{path}: not text: it holds bytes that are no UTF-8, or zero bytes",
        "{path}: bukan teks: berisi bita yang bukan UTF-8, atau bita nol";
    TextTooLong { path, allowed } =
        "{path}: too large or not an ordinary file, allowed {allowed} of text",
        "{path}: terlalu besar atau bukan berkas biasa, paling banyak {allowed} teks";
    AnswerCut { tokens } =
        "(the answer was cut after {tokens} tokens: the limit or the context's end)",
        "(jawaban terpotong setelah {tokens} token: batas atau akhir konteks)";
    AnswerStopped {} = "(stopped)", "(dihentikan)";
    Banner { model } =
        "{model} · /help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves",
        "{model} · /help menampilkan perintah, Ctrl-C menghentikan jawaban, Ctrl-D keluar";
    BaseModel {} =
        "this model has no chat template: it goes on with your text instead of answering it",
        "model ini tidak punya templat obrolan: ia melanjutkan teks Anda, bukan menjawabnya";
    LeaveHint {} = "Ctrl-C again or Ctrl-D leaves", "Ctrl-C sekali lagi atau Ctrl-D untuk keluar";
    ReplHelp {} =
        "/help             this list
/system TEXT      set the system prompt; without text show it, with - remove it
/model NAME|PATH  change the model; the conversation stays
/set KEY VALUE    change how answers are made; without arguments show it
/clear            begin anew
/retry            another answer to the last question
/stats            counts and speed of the last answer
/save FILE        write the conversation to a file
/load FILE        read a conversation from a file
/quit             leave

A line goes on after a backslash at its end, or between \"\"\" and \"\"\"",
        "/help             daftar ini
/system TEKS      atur perintah sistem; tanpa teks ditampilkan, dengan - dihapus
/model NAMA|JALUR ganti model; percakapan tetap
/set KUNCI NILAI  ubah cara menjawab; tanpa argumen ditampilkan
/clear            mulai dari awal
/retry            jawaban lain untuk pertanyaan terakhir
/stats            hitungan dan kecepatan jawaban terakhir
/save BERKAS      tulis percakapan ke berkas
/load BERKAS      baca percakapan dari berkas
/quit             keluar

Baris berlanjut setelah garis miring terbalik di ujungnya, atau di antara \"\"\" dan \"\"\"";
    CommandUnknown { command } =
        "unknown command {command}; /help lists them",
        "perintah {command} tidak dikenal; /help menampilkannya";
    CommandNeedsFile { command } = "{command} needs a file name", "{command} perlu nama berkas";
    SetUnknown { key, allowed } =
        "unknown setting {key}; allowed {allowed}",
        "pengaturan {key} tidak dikenal; yang ada {allowed}";
    SetInvalid { key, value, allowed } =
        "{key}: found {value}, allowed {allowed}",
        "{key}: ditemukan {value}, seharusnya {allowed}";
    SetNeedsValue { key } = "{key} needs a value: /set {key} VALUE", "{key} perlu nilai: /set {key} NILAI";
    Cleared {} = "the conversation is empty", "percakapan kosong";
    Saved { path } = "saved to {path}", "disimpan ke {path}";
    Loaded { path, count } = "{count} messages from {path}", "{count} pesan dari {path}";
    SaveRefused { path } =
        "{path}: exists and is no saved conversation; choose another name",
        "{path}: sudah ada dan bukan percakapan tersimpan; pilih nama lain";
    ConversationInvalid { path, reason } =
        "{path}: not a saved conversation: {reason}",
        "{path}: bukan percakapan tersimpan: {reason}";
    NothingToRetry {} = "there is no question to answer again", "tidak ada pertanyaan untuk dijawab lagi";
    NoSystem {} = "no system prompt", "tidak ada perintah sistem";
    SystemSet {} = "the system prompt is changed", "perintah sistem diubah";
    NoStats {} = "no answer yet", "belum ada jawaban";
    Stats { prompt, cached, completion, ttft, speed, seed } =
        "prompt {prompt} tokens ({cached} cached), answer {completion} tokens, first after {ttft} ms, {speed} tokens/s, seed {seed}",
        "pertanyaan {prompt} token ({cached} dari tembolok), jawaban {completion} token, pertama setelah {ttft} md, {speed} token/d, benih {seed}";

    // eval.
    LabelMeasuring {} = "perplexity", "perpleksitas";
    PerplexityResult { perplexity, error, tokens, windows, context } =
        "perplexity {perplexity} ± {error} ({tokens} tokens, {windows} windows of {context})",
        "perpleksitas {perplexity} ± {error} ({tokens} token, {windows} jendela dari {context})";

    LabelSuite { suite } = "{suite}", "{suite}";
    SuiteNoRecord { path } =
        "{path}: nothing that terang train made, so that figures cannot be kept with it",
        "{path}: bukan buatan terang train, sehingga angkanya tidak dapat disimpan bersamanya";
    SuiteNone { path, names } =
        "{path}: no such file; suites that come as a package are {names}",
        "{path}: tidak ada berkas itu; suite yang datang sebagai paket: {names}";
    SuiteEmpty { path } = "{path}: no question is in it", "{path}: tidak ada pertanyaan di dalamnya";

    // tokenizer.
    LabelCounting {} = "words", "kata";
    LabelLearning {} = "tokens", "token";
    TokenizerMade { path, tokens, words, seconds } =
        "{path}: {tokens} tokens from {words} words in {seconds} s",
        "{path}: {tokens} token dari {words} kata dalam {seconds} dtk";

    // data.
    LabelFetching { name } = "fetching {name}", "mengambil {name}";
    LabelReadingData { name } = "reading {name}", "membaca {name}";
    LabelComparing {} = "comparing documents", "membandingkan dokumen";
    LabelWriting {} = "writing shards", "menulis pecahan";
    LabelTokenizer {} = "learning a tokenizer", "mempelajari tokenizer";
    LabelEncoding {} = "encoding documents", "mengodekan dokumen";
    LabelIndexing {} = "indexing shards", "mengindeks pecahan";
    DataPrepared { path, documents, size, tokens, seconds, digest } =
        "{path}: {documents} documents, {size} of text, {tokens} tokens in {seconds} s\ndigest {digest}",
        "{path}: {documents} dokumen, {size} teks, {tokens} token dalam {seconds} dtk\nintisari {digest}";
    DataIndexed { path, size, seconds } =
        "{path}: {size} of text indexed in {seconds} s",
        "{path}: {size} teks terindeks dalam {seconds} dtk";
    DataFound { documents, occurrences, milliseconds } =
        "in {documents} documents, {occurrences} times ({milliseconds} ms)",
        "di {documents} dokumen, {occurrences} kali ({milliseconds} md)";
    DataTraced { spans, covered, milliseconds } =
        "spans that stand in the data: {spans}, {covered}% of the answer ({milliseconds} ms)",
        "rentang yang ada di dalam data: {spans}, {covered}% jawaban ({milliseconds} md)";
    DataSpan { words, documents } =
        "  {words} words, in {documents} documents",
        "  {words} kata, di {documents} dokumen";

    // train.
    LabelPreparing { source } = "preparing {source}", "menyiapkan {source}";
    LabelStage { stage } = "{stage}", "{stage}";
    TrainStage { stage, parameters, tokens } =
        "{stage}: {parameters} parameters, {tokens} tokens of text",
        "{stage}: {parameters} parameter, {tokens} token teks";
    TrainStep { stage, curve, loss, rate, norm, speed, share } =
        "{stage} {curve} loss {loss}  rate {rate}  norm {norm}  {speed} tokens/s, {share}% of the limit",
        "{stage} {curve} loss {loss}  laju {rate}  norma {norm}  {speed} token/dtk, {share}% dari batas";
    TrainValidated { stage, step, loss } =
        "{stage}, step {step}: validation loss {loss}",
        "{stage}, langkah {step}: loss validasi {loss}";
    TrainValidatedRight { stage, step, loss, right } =
        "{stage}, step {step}: {right}% right in validation, loss {loss}",
        "{stage}, langkah {step}: {right}% benar pada validasi, loss {loss}";
    TrainSample { prompt, text } =
        "  sample: {prompt} → {text}",
        "  contoh: {prompt} → {text}";
    TrainStopped { path } =
        "stopped; saved in {path}. The same command goes on from there",
        "dihentikan; tersimpan di {path}. Perintah yang sama melanjutkannya";
    TrainDone { path, val_loss, speed, sha256, report, talk } =
        "{path}: validation loss {val_loss}, {speed} tokens/s\nweights SHA-256 {sha256}\nplots: {report}\ntalk to it: terang chat --model {talk}",
        "{path}: loss validasi {val_loss}, {speed} token/dtk\nSHA-256 bobot {sha256}\ngrafik: {report}\nbicaralah dengannya: terang chat --model {talk}";
    Plain { text } = "{text}", "{text}";

    // export.
    ExportDone { path, bytes } = "{path}: {bytes} bytes", "{path}: {bytes} bita";

    // verify.
    VerifyDone { path, name, files, parent } =
        "{path}: {name}, {files} files are as the manifest has them; made from {parent}",
        "{path}: {name}, {files} berkas sesuai dengan manifes; dibuat dari {parent}";
    VerifyFirst {} = "nothing before it", "tidak ada sebelumnya";

    // bench.
    LabelLimits {} = "the machine's limits", "batas mesin";
    LabelPrefill { tokens } = "prefill {tokens}", "prapengisian {tokens}";
    LabelDecode { depth } = "decode at depth {depth}", "dekode pada kedalaman {depth}";
    LabelBatched { sequences } = "batched decode, {sequences} at once", "dekode serentak {sequences} urutan";
    LabelColdStart {} = "cold start", "mulai dingin";
    ColWork {} = "WORK", "PEKERJAAN";
    ColSpeed {} = "TOKENS/S", "TOKEN/D";
    ColSpread {} = "SPREAD", "RENTANG";
    ColShare {} = "OF THE LIMIT", "DARI BATAS";
    BenchHeading { model, cpu, level, threads, rounds } =
        "{model} · {cpu}, {level}, threads: {threads} · rounds: {rounds}",
        "{model} · {cpu}, {level}, utas: {threads} · putaran: {rounds}";
    BenchColdStart { ms } =
        "first token of a cold process after {ms} ms",
        "token pertama dari proses baru setelah {ms} md";
    BenchMemory { size } = "peak memory {size}", "memori puncak {size}";
    BenchLimits { read, int8, f32 } =
        "limits: memory {read} GB/s, int8 {int8} GOP/s, f32 {f32} GFLOP/s",
        "batas: memori {read} GB/d, int8 {int8} GOP/d, f32 {f32} GFLOP/d";
    BenchDecodeFit { base, slope, predicted_base, predicted_slope } =
        "a token: {base} ms + {slope} ms per 1000 positions (by the limits {predicted_base} + {predicted_slope})",
        "satu token: {base} md + {slope} md per 1000 posisi (menurut batas {predicted_base} + {predicted_slope})";
    BenchBatchedFit { base, slope, predicted_base, predicted_slope } =
        "a step of a batch: {base} ms + {slope} ms per sequence (by the limits {predicted_base} + {predicted_slope})",
        "satu langkah serentak: {base} md + {slope} md per urutan (menurut batas {predicted_base} + {predicted_slope})";
    BenchChildFailed { reason } =
        "the process to be measured failed: {reason}",
        "proses yang diukur gagal: {reason}";
}
