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

    /// <summary>The wrapping keys and the pseudonym key are in an HSM; null: not.</summary>
    public Pkcs11Options? Pkcs11 { get; init; }

    /// <summary>They are in a Transit service; null: not. Not beside <see cref="Pkcs11"/>.</summary>
    public TransitOptions? Transit { get; init; }

    /// <summary>P-256 public key (SPKI PEM) of the gateway that signs grants and service tokens.</summary>
    public required string GatewayKeyFile { get; init; }

    /// <summary>How many people's keys are given out within windows of time; all of them hold. Empty: any number.</summary>
    public IReadOnlyList<BudgetOptions> Budgets { get; init; } = DefaultBudgets;

    /// <summary>Folder of the custody log, of this key service alone: each key that was given out, by whom for whom as digests. Budgets are counted back from it at start.</summary>
    public required string CustodyFolder { get; init; }

    /// <summary>Whether missing files and folders are made at start: the embedded development host only.</summary>
    public bool CreateStores { get; init; }

    /// <summary>An hour's work of a large hospital, and a day's.</summary>
    public static IReadOnlyList<BudgetOptions> DefaultBudgets { get; } =
        [new() { Seconds = 3_600, PerRequester = 20_000, Total = 1_000_000 }, new() { Seconds = 86_400, PerRequester = 100_000, Total = 5_000_000 }];

    /// <exception cref="InvalidOperationException">Names every setting that is wrong and what it has to be.</exception>
    internal void Validate()
    {
        var wrong = new List<string>();
        if (Pkcs11 is not null && Transit is not null)
            wrong.Add($"{nameof(Pkcs11)}, {nameof(Transit)}: one of them");
        if (Pkcs11 is { Sessions: < 1 or > 64 })
            wrong.Add($"{nameof(Pkcs11)}.{nameof(Pkcs11Options.Sessions)}: 1 to 64");
        foreach (var (name, file) in new[] { ($"{nameof(Pkcs11)}.{nameof(Pkcs11Options.Library)}", Pkcs11?.Library), ($"{nameof(Transit)}.{nameof(TransitOptions.AuthorityFile)}", Transit?.AuthorityFile) })
            if (file is not null && !File.Exists(file))
                wrong.Add($"{name}: no such file");
        foreach (var (name, file) in new[] { ($"{nameof(Pkcs11)}.{nameof(Pkcs11Options.PinFile)}", Pkcs11?.PinFile), ($"{nameof(Transit)}.{nameof(TransitOptions.TokenFile)}", Transit?.TokenFile) })
            if (file is not null && !IsPrivate(file))
                wrong.Add($"{name}: a file that is there and readable by its owner alone (chmod 600)");
        if (Transit is { } transit)
        {
            if (!Uri.TryCreate(transit.Address, UriKind.Absolute, out var address) || !(address.Scheme == Uri.UriSchemeHttps || (address.Scheme == Uri.UriSchemeHttp && address.IsLoopback)))
                wrong.Add($"{nameof(Transit)}.{nameof(TransitOptions.Address)}: https, or http on a loopback address");
            if (transit.TimeoutSeconds is < 1 or > 30)
                wrong.Add($"{nameof(Transit)}.{nameof(TransitOptions.TimeoutSeconds)}: 1 to 30");
        }
        if (Budgets.Any(static budget => budget is not { Seconds: >= 1 and <= 31 * 86_400, PerRequester: >= 1 } || budget.Total < budget.PerRequester) || Budgets.DistinctBy(static budget => budget.Seconds).Count() != Budgets.Count)
            wrong.Add($"{nameof(Budgets)}: windows of 1 s to 31 days, each once, with 1 or more people of a requester and not fewer in all");
        if (!CreateStores && !Directory.Exists(CustodyFolder))
            wrong.Add($"{nameof(CustodyFolder)}: no such folder");
        if (wrong.Count > 0)
            throw new InvalidOperationException("Key service options: " + string.Join("; ", wrong) + ".");
    }

    private static bool IsPrivate(string file) => File.Exists(file)
        && (OperatingSystem.IsWindows() || (File.GetUnixFileMode(file) & ~(UnixFileMode.UserRead | UnixFileMode.UserWrite)) == 0);
}
