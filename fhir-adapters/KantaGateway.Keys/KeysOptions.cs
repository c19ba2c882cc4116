using KantaGateway.Fhir.Transport;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Keys;

/// <summary>Everything the key service must be told.</summary>
public sealed record KeysOptions
{
    /// <summary><c>unix:/path</c>, <c>http://127.0.0.1:port</c> or <c>process:name</c>; a public address is refused.</summary>
    public required string Listen { get; init; }

    /// <summary>
    /// JSON key file, readable by its owner alone (0600); anything wider refuses to start. Beside <see cref="Pkcs11"/> or <see cref="Transit"/> it holds the
    /// audit reader key alone: X25519, which neither has.
    /// </summary>
    public required string KeyFile { get; init; }

    /// <summary>The wrapping keys, the pseudonym keys and the custody key are in an HSM; null: not.</summary>
    public Pkcs11Options? Pkcs11 { get; init; }

    /// <summary>They are in a Transit service; null: not. Not beside <see cref="Pkcs11"/>.</summary>
    public TransitOptions? Transit { get; init; }

    /// <summary>P-256 public key (SPKI PEM) of the gateway that signs grants and service tokens.</summary>
    public required string GatewayKeyFile { get; init; }

    /// <summary>How many people's keys are given out within windows of time; all of them hold. Empty: any number.</summary>
    public IReadOnlyList<BudgetOptions> Budgets { get; init; } = DefaultBudgets;

    /// <summary>Folder of the custody log, of this key service alone: each key that was given out, by whom for whom as digests. Budgets are counted back from it at start.</summary>
    public required string CustodyFolder { get; init; }

    /// <summary>
    /// A second file of whose keys are destroyed, on another disk and in no backup of the custody folder: whoever brings an older backup back brings nobody back who was erased since.
    /// Null: none is kept. An erasure is done when it stands in both.
    /// </summary>
    public string? ErasedCopyFile { get; init; }

    /// <summary>The same of which data keys are valid: an older backup makes no key valid again that was rotated since. Null: none is kept. A rotation is done when it stands in both.</summary>
    public string? RotatedCopyFile { get; init; }

    /// <summary>
    /// A folder on another disk with a second one of each file of the register of people: whoever brings an older custody folder back still finds everybody who was registered since. Null: none is kept, and a
    /// store has to tell of them. Who is registered is in both when it is answered.
    /// </summary>
    public string? PeopleCopyFolder { get; init; }

    /// <summary>Prometheus listener, <c>http://127.0.0.1:port</c>; null (default): none.</summary>
    public string? MetricsListen { get; init; }

    /// <summary>OTLP endpoint of traces, metrics and logs, https or on a loopback address; null (default): none.</summary>
    public string? Otlp { get; init; }

    /// <summary>Whether missing files and folders are made at start: the embedded development host only.</summary>
    public bool CreateStores { get; init; }

    /// <summary>An hour's work of a large hospital, and a day's.</summary>
    public static IReadOnlyList<BudgetOptions> DefaultBudgets { get; } =
        [new() { Seconds = 3_600, PerRequester = 20_000, Total = 1_000_000 }, new() { Seconds = 86_400, PerRequester = 100_000, Total = 5_000_000 }];

    /// <returns>Where to listen.</returns>
    /// <exception cref="InvalidOperationException">Names every setting that is wrong and what it has to be.</exception>
    internal InternalEndpoint Validate()
    {
        var check = new OptionsCheck();
        var listen = check.Listener(nameof(Listen), Listen);
        if (!CreateStores || File.Exists(KeyFile))
            check.Secret(nameof(KeyFile), KeyFile, ownerAlone: true);
        check.Exists(nameof(GatewayKeyFile), GatewayKeyFile);
        if (Pkcs11 is not null && Transit is not null)
            check.Add($"{nameof(Pkcs11)}, {nameof(Transit)}", "one of them");
        if (Pkcs11 is { } hsm)
        {
            if (hsm.Sessions is < 1 or > 64)
                check.Add($"{nameof(Pkcs11)}.{nameof(hsm.Sessions)}", "1 to 64");
            check.Exists($"{nameof(Pkcs11)}.{nameof(hsm.Library)}", hsm.Library);
            check.Secret($"{nameof(Pkcs11)}.{nameof(hsm.PinFile)}", hsm.PinFile);
        }
        if (Transit is { } transit)
        {
            if (!Uri.TryCreate(transit.Address, UriKind.Absolute, out var address) || !OptionsCheck.IsProtected(address))
                check.Add($"{nameof(Transit)}.{nameof(transit.Address)}", "https, or http on a loopback address");
            if (transit.TimeoutSeconds is < 1 or > 30)
                check.Add($"{nameof(Transit)}.{nameof(transit.TimeoutSeconds)}", "1 to 30");
            check.Secret($"{nameof(Transit)}.{nameof(transit.TokenFile)}", transit.TokenFile);
            if (transit.AuthorityFile is { } authorities)
                check.Authorities($"{nameof(Transit)}.{nameof(transit.AuthorityFile)}", authorities);
        }
        if (Budgets.Any(static budget => budget is not { Seconds: >= 1 and <= 31 * 86_400, PerRequester: >= 1 } || budget.Total < budget.PerRequester) || Budgets.DistinctBy(static budget => budget.Seconds).Count() != Budgets.Count)
            check.Add(nameof(Budgets), "windows of 1 s to 31 days, each once, with 1 or more people of a requester and not fewer in all");
        if (!CreateStores && !Directory.Exists(CustodyFolder))
            check.Add(nameof(CustodyFolder), "no such folder");
        foreach (var (name, file) in new[] { (nameof(ErasedCopyFile), ErasedCopyFile), (nameof(RotatedCopyFile), RotatedCopyFile) })
            if (file is not null && (Path.GetDirectoryName(Path.GetFullPath(file)) is not { } beside || !Directory.Exists(beside) || beside == Path.GetFullPath(CustodyFolder).TrimEnd('/')))
                check.Add(name, "a file in a folder that there is, and another than the custody folder");
        if (RotatedCopyFile is { } rotated && ErasedCopyFile is { } erased && Path.GetFullPath(rotated) == Path.GetFullPath(erased))
            check.Add(nameof(RotatedCopyFile), $"another file than {nameof(ErasedCopyFile)}");
        if (PeopleCopyFolder is { } register && (!Directory.Exists(register) || Path.GetFullPath(register).TrimEnd('/') == Path.GetFullPath(CustodyFolder).TrimEnd('/')))
            check.Add(nameof(PeopleCopyFolder), "a folder that there is, and another than the custody folder");
        check.Telemetry(nameof(MetricsListen), MetricsListen, nameof(Otlp), Otlp);
        check.ThrowIfWrong("Key service");
        return listen!;
    }
}
