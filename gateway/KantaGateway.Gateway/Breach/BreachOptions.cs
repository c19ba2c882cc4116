namespace KantaGateway.Gateway.Breach;

/// <summary>Where cases of breaches are kept, and what watches for them.</summary>
public sealed record BreachOptions
{
    /// <summary>Folder of the cases of this gateway, which are only added to; made only with <see cref="GatewayOptions.CreateStores"/>.</summary>
    public required string CaseFolder { get; init; }

    /// <summary>
    /// Name of this gateway among those that share its audit log, 1 to 253 characters, each its own; default the machine's name. By it the log knows whose cases are whose: one that keeps its name and has lost its cases does not start.
    /// </summary>
    public string Gateway { get; init; } = Environment.MachineName;

    /// <summary>Days in which a person who disputes an access is answered, 1 to 30; default 30 (GDPR Art. 12(3): one month).</summary>
    public int DisputeAnswerDays { get; init; } = 30;

    /// <summary>Accesses that one person may dispute within 24 hours, 1 to 100; default 10.</summary>
    public int DisputesPerDay { get; init; } = 10;

    /// <summary>Live probes; null (default): none.</summary>
    public ProbeOptions? Probes { get; init; }

    /// <summary>Hours within which the persons concerned are told (GDPR Art. 34 says without undue delay), 1 to 720; default 72.</summary>
    public int PersonsWithinHours { get; init; } = 72;

    /// <summary>Who is told of a case, and again until all is done that the law asks for.</summary>
    public EscalationOptions? Escalation { get; init; }

    /// <summary>Notices to persons whose data was taken; null (default): none can be sent.</summary>
    public NoticeOptions? Notices { get; init; }

    /// <summary>
    /// File of the people who are watched, as keyed digests, which all gateways share (<see cref="WatchedPeople"/>); made only with <see cref="GatewayOptions.CreateStores"/>. Null (default): nobody is.
    /// Needs <see cref="Identification.IdentificationOptions.Operators"/>, by whose log the machine contains.
    /// </summary>
    public string? PeopleFile { get; init; }

    /// <summary>How many patients may be opened without an open service event. Null: any number, as only a test service may; the default is that of <see cref="BreadthOptions"/>.</summary>
    public BreadthOptions? Breadth { get; init; } = new();

    /// <summary>From which score of a day on the accesses of a requester are an alarm (<see cref="Signs"/>), 1 to 1,000; default 10.</summary>
    public int AlarmScore { get; init; } = 10;

    /// <summary>How canaries are made; null (default): this gateway makes none. Needs <see cref="PeopleFile"/>.</summary>
    public CanaryOptions? Canaries { get; init; }
}

/// <summary>To whom cases are told, and how often.</summary>
public sealed record EscalationOptions
{
    /// <summary>Two at least, at different hosts: what silences one must not silence all.</summary>
    public required IReadOnlyList<EscalationRecipient> Recipients { get; init; }

    /// <summary>Minutes between two messages while there is time, 5 to 1440; default 60.</summary>
    public int RepeatMinutes { get; init; } = 60;

    /// <summary>Minutes between two messages when a time is near or over, 1 to <see cref="RepeatMinutes"/>; default 15.</summary>
    public int UrgentMinutes { get; init; } = 15;

    /// <summary>Hours before a time in which it is near, 1 to 24; default 6.</summary>
    public int UrgentHours { get; init; } = 6;

    /// <summary>PEM file with the roots that the recipients' certificates are checked by; null (default): the system's.</summary>
    public string? AuthorityFile { get; init; }
}

/// <summary>Where cases are told.</summary>
public sealed record EscalationRecipient
{
    /// <summary>For logs and journals; each its own.</summary>
    public required string Name { get; init; }

    /// <summary>https; takes a POST of <c>application/jwt</c> and answers 2xx.</summary>
    public required string Address { get; init; }
}

/// <summary>Notices to persons whose data was taken (GDPR Art. 34).</summary>
public sealed record NoticeOptions
{
    /// <summary>Folder that all gateways share: the notices, sealed; made only with <see cref="GatewayOptions.CreateStores"/>.</summary>
    public required string Folder { get; init; }

    /// <summary>Folder of its owner's alone for sealed letters to print; made only with <see cref="GatewayOptions.CreateStores"/>.</summary>
    public required string LetterFolder { get; init; }

    /// <summary>Public key (X25519, 32 bytes in base64) of who prints the letters, to which they are sealed until then; <c>letter-key</c> makes one.</summary>
    public required string LetterKey { get; init; }

    /// <summary>Days without reading the notice after which a letter is written, 0 to 30; default 3.</summary>
    public int LetterAfterDays { get; init; } = 3;

    /// <summary>https address of the organisation's relay for e-mail and SMS, by which persons are told to sign in; null (default): they are not.</summary>
    public string? MessageRelay { get; init; }
}

/// <summary>Who archives the records of canaries.</summary>
public sealed record CanaryOptions
{
    /// <summary>A registered client, best a clinic's with many patients: a canary is one of its patients.</summary>
    public required ProbeSystem Archivist { get; init; }

    /// <summary>PEM file with the roots that the public listener's certificate is checked by; null (default): the system's.</summary>
    public string? AuthorityFile { get; init; }
}

/// <summary>Synthetic people with known denials, asked for through the public listener as two clinics would.</summary>
public sealed record ProbeOptions
{
    /// <summary>Seconds between two rounds, 1 to 30; default 15. What leaks is to be seen within a minute.</summary>
    public int IntervalSeconds { get; init; } = 15;

    /// <summary>Rounds that may be blind before one is sound, 1 to 20; default 3. With the last of them the gateway serves no more until a round is sound. As many in a row that are not answered are reported.</summary>
    public int BlindRounds { get; init; } = 3;

    /// <summary>Identity codes of the synthetic people, 1 to 10. In production codes that are kept for tests and can be nobody's; elsewhere of the 900 series.</summary>
    public required IReadOnlyList<string> IdentityCodes { get; init; }

    /// <summary>The registered client whose organisation holds what is denied.</summary>
    public required ProbeSystem Archivist { get; init; }

    /// <summary>Another organisation's, for whose professional it is denied.</summary>
    public required ProbeSystem Reader { get; init; }

    /// <summary>The reader's professional, as the role register and the identity provider know it.</summary>
    public required string Professional { get; init; }

    /// <summary>Where the reader's identity provider gives a subject token for the professional: https; POST <c>{"professional": id}</c> answers <c>subject_token</c> and <c>subject_token_type</c>.</summary>
    public required string SubjectTokenAddress { get; init; }

    /// <summary>PEM file with the roots that the public listener's certificate and that address are checked by; null (default): the system's.</summary>
    public string? AuthorityFile { get; init; }
}

/// <summary>A client of the probes: registered like any clinic's system, with a certificate like any.</summary>
public sealed record ProbeSystem
{
    public required string ClientId { get; init; }

    /// <summary>Private key (JWK with <c>alg</c> and <c>kid</c>) of its client assertions.</summary>
    public required string KeyFile { get; init; }

    /// <summary>PEM chain, and PKCS#8 key, of its organisation certificate.</summary>
    public required string CertificateFile { get; init; }
    public required string CertificateKeyFile { get; init; }

    /// <summary>OID of its organisation, under which its service events are numbered.</summary>
    public required string Organisation { get; init; }
}
