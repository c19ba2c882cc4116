using System.Net;
using System.Net.Mail;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Gateway.Operations;
using KantaGateway.Gateway.Operations.Witnesses;
using KantaGateway.Postgres;
using StackExchange.Redis;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Gateway;

/// <summary>The rules of <see cref="GatewayOptions.Validate"/>. Configuration leaves null what it does not state, required or not.</summary>
/// <remarks>No value is repeated in an error: some hold passwords.</remarks>
internal sealed class GatewayOptionsCheck : OptionsCheck
{
    public GatewayOptionsCheck(GatewayOptions options)
    {
        CheckListeners(options);
        CheckInternal(options);
        CheckStores(options);
        if (options.Identification is { } identification)
        {
            CheckIdentification(identification);
            CheckRevocation(identification, identification.RevocationSources, nameof(identification.RevocationSources), options.ClientAuthorityFile, nameof(options.ClientAuthorityFile));
            if (identification.ProfessionalCards is { } cards)
                CheckCards(identification, cards);
        }
        else
            Add(nameof(options.Identification), "missing");
        if (options.Breach is { } breach)
            CheckBreach(options, breach);
        if (options.Witnesses is { } witnesses)
            CheckWitnesses(witnesses);
    }

    private GatewayOptionsCheck()
    {
    }

    /// <summary>Of what is needed to make the tables of the audit log, and no more: they are made before anything else is there.</summary>
    /// <param name="options">The gateway's.</param>
    /// <param name="isMove">Whether a log in files is brought there, and so is to be there.</param>
    public static GatewayOptionsCheck ForMigration(GatewayOptions options, bool isMove)
    {
        var check = new GatewayOptionsCheck();
        check.CheckLogKey(options, isMove);
        if (options.AuditPostgres is null)
            check.Add(nameof(options.AuditPostgres), "missing: a log in files needs no migration");
        else
            PostgresOptions.CheckOwner(check, (nameof(options.AuditPostgres), options.AuditPostgres), (nameof(options.AuditPostgresOwner), options.AuditPostgresOwner));
        return check;
    }

    private void CheckListeners(GatewayOptions options)
    {
        // Tokens, redirects and FHIR ids are made by appending to it.
        if (!(Uri.TryCreate(options.PublicAddress, UriKind.Absolute, out var address) && address.Scheme == Uri.UriSchemeHttps
            && address.UserInfo.Length == 0 && address.GetLeftPart(UriPartial.Authority) == options.PublicAddress))
            Add(nameof(options.PublicAddress), "https://host or https://host:port, in lower case and without path or trailing slash");
        if (options.Port is < 1 or > 65535)
            Add(nameof(options.Port), "1 to 65535");
        if (!IPAddress.TryParse(options.ListenAddress, out _))
            Add(nameof(options.ListenAddress), "an IP address");
        foreach (var (setting, rule) in Listeners.Explain(options))
            Add(setting, rule);
        var terminator = Uri.TryCreate(options.TerminatorListen, UriKind.Absolute, out var listener) ? listener.Port : (int?)null;
        var metrics = Loopback(options.MetricsListen, nameof(options.MetricsListen));
        // A request is known by the port on which it came: as the terminator's, or as a reader of metrics.
        if (terminator == options.Port || (terminator is not null && terminator == metrics))
            Add(nameof(options.TerminatorListen), "a port of its own");
        if (options.MllpPort is { } mllp && (mllp is < 1 or > 65535 || mllp == options.Port || mllp == terminator || mllp == metrics))
            Add(nameof(options.MllpPort), "1 to 65535, and a port of its own");
        if (metrics == options.Port)
            Add(nameof(options.MetricsListen), "a port of its own");
        Draining(nameof(options.DrainSeconds), options.DrainSeconds);
        if (options.Identification?.Operators is { } operators)
            CheckOrigin(options, operators, [options.Port, terminator, metrics, options.MllpPort]);
        if (options.AccessibilityFeedback is { } feedback && !(MailAddress.TryCreate(feedback, out var mail) && mail.Address == feedback)
            && !(Uri.TryCreate(feedback, UriKind.Absolute, out var site) && site.Scheme == Uri.UriSchemeHttps))
            Add(nameof(options.AccessibilityFeedback), "an e-mail address or an https address");
        Certificate(nameof(options.TlsCertificateFile), options.TlsCertificateFile);
        Secret(nameof(options.TlsKeyFile), options.TlsKeyFile);
        Authorities(nameof(options.ClientAuthorityFile), options.ClientAuthorityFile);
    }

    private void CheckOrigin(GatewayOptions options, OperatorOptions operators, IReadOnlyList<int?> taken)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Identification)}.{nameof(IdentificationOptions.Operators)}.{name}";
        if (operators.Address is null ? !options.CreateStores
            : !IsHttps(operators.Address) || new Uri(operators.Address) is not { UserInfo: "" } origin || origin.GetLeftPart(UriPartial.Authority) != operators.Address
                || (Uri.TryCreate(options.PublicAddress, UriKind.Absolute, out var citizens) && string.Equals(origin.Host, citizens.Host, StringComparison.OrdinalIgnoreCase)))
            Add(Of(nameof(operators.Address)), $"https://host or https://host:port, in lower case and without path or trailing slash, of another host than {nameof(options.PublicAddress)}");
        if (operators.Port is { } port && (port is < 1 or > 65535 || taken.Contains(port) || operators.Address is null))
            Add(Of(nameof(operators.Port)), $"1 to 65535, a port of its own, and only with {nameof(operators.Address)}");
    }

    private void CheckInternal(GatewayOptions options)
    {
        if (options.Repositories is { Count: > 0 } repositories)
            foreach (var repository in repositories)
                Peer(nameof(options.Repository), repository);
        else
            Peer(nameof(options.Repository), options.Repository);
        if (options.Repositories.Distinct(StringComparer.OrdinalIgnoreCase).Count() != options.Repositories.Count)
            Add(nameof(options.Repository), "each repository once");
        Peer(nameof(options.Keys), options.Keys);
        if (options.Otlp is { } otlp && !(Uri.TryCreate(otlp, UriKind.Absolute, out var exporter) && IsProtected(exporter)))
            Add(nameof(options.Otlp), "https, or http on a loopback address");
        if (options.Redis is { } redis)
            CheckRedis(redis, nameof(options.Redis));
        // One without them would let a contained caller in again after two minutes.
        if (options.Redis is not null && options.Identification is { Operators: null })
            Add($"{nameof(options.Identification)}.{nameof(options.Identification.Operators)}", $"the same at every gateway that shares {nameof(options.Redis)}");
        if (options.RedisAuthorityFile is { } authority)
            Authorities(nameof(options.RedisAuthorityFile), authority);
    }

    private void CheckStores(GatewayOptions options)
    {
        Secret(nameof(options.GrantKeyFile), options.GrantKeyFile);
        Secret(nameof(options.IdentifierKeyFile), options.IdentifierKeyFile);
        CheckLogKey(options);
        if (options.AuditPostgres is { } log)
            PostgresOptions.Check(this, nameof(options.AuditPostgres), log);
        if (options.AuditPostgresOwner is not null)
            Add(nameof(options.AuditPostgresOwner), $"for the commands {MigrateAudit.Name} and {MoveAudit.Name} alone");
        if (options.MaxBinary < 1)
            Add(nameof(options.MaxBinary), "at least 1");
        if (options.EmergencyFolder is { } emergencies && (string.IsNullOrWhiteSpace(emergencies) || (!options.CreateStores && !Directory.Exists(emergencies))))
            Add(nameof(options.EmergencyFolder), "no such folder");
        if (options.ProtectedServicesFile is { } rules)
            Exists(nameof(options.ProtectedServicesFile), rules);
        if (options.ProtectedPracticesFile is { } practices)
            Exists(nameof(options.ProtectedPracticesFile), practices);
        if (options.JointControllers is not { } joint || joint.Any(oid => !Oid.TryParse(oid, out _)) || joint.Distinct(StringComparer.Ordinal).Count() != joint.Count)
            Add(nameof(options.JointControllers), "OIDs, each once");
        if (!Oid.TryParse(options.NationalOrganisation, out _))
            Add(nameof(options.NationalOrganisation), "an OID");
    }

    private void CheckLogKey(GatewayOptions options, bool isMove = false)
    {
        if (string.IsNullOrWhiteSpace(options.AuditFolder))
            Add(nameof(options.AuditFolder), "missing");
        else if (File.Exists(Path.Combine(options.AuditFolder, LogKeyFile.Name)))
            Secret(nameof(options.AuditFolder), Path.Combine(options.AuditFolder, LogKeyFile.Name));
        else if (!options.CreateStores)
            Add(nameof(options.AuditFolder), $"has no {LogKeyFile.Name}. A log's key is made once, by its operator, and never silently");
        // One key that signs two logs of one name has signed a fork.
        if (!isMove && options.AuditPostgres is not null && !string.IsNullOrWhiteSpace(options.AuditFolder) && AuditLog.IsIn(options.AuditFolder))
            Add(nameof(options.AuditFolder), $"has a log in files: bring it into the database of {nameof(options.AuditPostgres)} with \"{MoveAudit.Name}\", or name another folder, with a key of its own");
        // C2SP signed-note: a key name is not empty and has neither spaces nor plus signs.
        if (string.IsNullOrEmpty(options.AuditOrigin) || options.AuditOrigin.Any(static c => char.IsWhiteSpace(c) || char.IsControl(c) || c == '+'))
            Add(nameof(options.AuditOrigin), "a name without spaces and plus signs");
    }

    private void CheckBreach(GatewayOptions options, BreachOptions breach)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Breach)}.{name}";
        if (string.IsNullOrWhiteSpace(breach.CaseFolder) || (!options.CreateStores && !Directory.Exists(breach.CaseFolder)))
            Add(Of(nameof(breach.CaseFolder)), "no such folder");
        if (string.IsNullOrWhiteSpace(breach.Gateway) || breach.Gateway.Length > 253)
            Add(Of(nameof(breach.Gateway)), "1 to 253 characters, each gateway its own");
        if (breach.DisputeAnswerDays is < 1 or > 30)
            Add(Of(nameof(breach.DisputeAnswerDays)), "1 to 30");
        if (breach.DisputesPerDay is < 1 or > 100)
            Add(Of(nameof(breach.DisputesPerDay)), "1 to 100");
        if (breach.PersonsWithinHours is < 1 or > 720)
            Add(Of(nameof(breach.PersonsWithinHours)), "1 to 720");
        CheckEscalation(breach, Of(nameof(breach.Escalation)));
        if (breach.Notices is { } notices)
        {
            foreach (var (name, folder) in new[] { (nameof(notices.Folder), notices.Folder), (nameof(notices.LetterFolder), notices.LetterFolder) })
                if (string.IsNullOrWhiteSpace(folder) || (!options.CreateStores && !Directory.Exists(folder)))
                    Add(Of($"{nameof(breach.Notices)}.{name}"), "no such folder");
            if (SealedLetter.KeyIn(notices.LetterKey) is null)
                Add(Of($"{nameof(breach.Notices)}.{nameof(notices.LetterKey)}"), "the public key (X25519) of who prints letters: 32 bytes in base64");
            if (notices.MessageRelay is { } relay && !IsHttps(relay))
                Add(Of($"{nameof(breach.Notices)}.{nameof(notices.MessageRelay)}"), "an https address");
            if (notices.LetterAfterDays is < 0 or > 30)
                Add(Of($"{nameof(breach.Notices)}.{nameof(notices.LetterAfterDays)}"), "0 to 30");
        }
        if (breach.PeopleFile is { } people)
        {
            if (string.IsNullOrWhiteSpace(people))
                Add(Of(nameof(breach.PeopleFile)), "a file");
            else if (!options.CreateStores)
                Secret(Of(nameof(breach.PeopleFile)), people);
            if (options.Identification is { Operators: null })
                Add(Of(nameof(breach.PeopleFile)), $"only with {nameof(GatewayOptions.Identification)}.{nameof(IdentificationOptions.Operators)}");
        }
        if (breach.AlarmScore is < 1 or > 1_000)
            Add(Of(nameof(breach.AlarmScore)), "1 to 1,000");
        if (breach.Breadth is { } breadth)
        {
            foreach (var (name, allowance) in (ReadOnlySpan<(string, BreadthAllowance?)>)
                [(nameof(breadth.Professional), breadth.Professional), (nameof(breadth.System), breadth.System), (nameof(breadth.Client), breadth.Client), (nameof(breadth.Organisation), breadth.Organisation),
                    .. (breadth.Systems ?? new Dictionary<string, BreadthAllowance>()).Select(static its => (nameof(breadth.Systems), (BreadthAllowance?)its.Value))])
                if (allowance is not { IsSound: true })
                    Add(Of($"{nameof(breach.Breadth)}.{name}"), "1 to 100,000 patients in each window, none fewer than in a shorter one");
            if (breadth.LookUpHours is < 1 or > 24)
                Add(Of($"{nameof(breach.Breadth)}.{nameof(breadth.LookUpHours)}"), "1 to 24");
            if (breadth.StepDownHours is < 1 or > 720)
                Add(Of($"{nameof(breach.Breadth)}.{nameof(breadth.StepDownHours)}"), "1 to 720");
        }
        if (breach.Canaries is { } canaries)
        {
            if (breach.PeopleFile is null)
                Add(Of(nameof(breach.Canaries)), $"only with {nameof(breach.PeopleFile)}");
            if (canaries.AuthorityFile is { } authorities)
                Authorities(Of($"{nameof(breach.Canaries)}.{nameof(canaries.AuthorityFile)}"), authorities);
            CheckSystem(Of($"{nameof(breach.Canaries)}.{nameof(canaries.Archivist)}"), canaries.Archivist);
        }
        if (breach.Probes is not { } probes)
            return;
        static string OfProbes(string name) => Of($"{nameof(BreachOptions.Probes)}.{name}");
        if (probes.IntervalSeconds is < 1 or > 30)
            Add(OfProbes(nameof(probes.IntervalSeconds)), "1 to 30");
        if (probes.BlindRounds is < 1 or > 20)
            Add(OfProbes(nameof(probes.BlindRounds)), "1 to 20");
        // A code of the 900 series is nobody's and none in production; there it has to be one that is kept for tests.
        if (probes.IdentityCodes is not { Count: >= 1 and <= 10 } codes || codes.Distinct(StringComparer.Ordinal).Count() != codes.Count
            || codes.Any(code => !PersonalIdentityCode.TryParse(code, out var parsed) || parsed.IsTemporary != options.Identification?.TestIdentityCodes))
            Add(OfProbes(nameof(probes.IdentityCodes)), $"1 to 10 different identity codes, of the 900 series where {nameof(IdentificationOptions.TestIdentityCodes)} is set and else not");
        if (string.IsNullOrWhiteSpace(probes.Professional))
            Add(OfProbes(nameof(probes.Professional)), "missing");
        if (!IsHttps(probes.SubjectTokenAddress))
            Add(OfProbes(nameof(probes.SubjectTokenAddress)), "an https address");
        if (probes.AuthorityFile is { } roots)
            Authorities(OfProbes(nameof(probes.AuthorityFile)), roots);
        CheckSystem(OfProbes(nameof(probes.Archivist)), probes.Archivist);
        CheckSystem(OfProbes(nameof(probes.Reader)), probes.Reader);
        if (probes is { Archivist: { } one, Reader: { } other } && one.Organisation == other.Organisation)
            Add(OfProbes(nameof(probes.Reader)), $"another organisation's than {nameof(probes.Archivist)}");
    }

    /// <summary>A breach that one person can keep quiet is kept quiet: nobody may be named alone, nor two behind one address.</summary>
    private void CheckEscalation(BreachOptions breach, string at)
    {
        if (breach.Escalation is not { } escalation)
        {
            Add(at, "missing: two recipients, to whom breach cases are told");
            return;
        }
        string Of(string name) => $"{at}.{name}";
        if (escalation.Recipients is not { Count: >= 2 } recipients || recipients.Any(static one => string.IsNullOrWhiteSpace(one?.Name) || !IsHttps(one.Address))
            || recipients.DistinctBy(static one => one.Name).Count() != recipients.Count || recipients.DistinctBy(static one => new Uri(one.Address).IdnHost).Count() != recipients.Count)
            Add(Of(nameof(escalation.Recipients)), "two or more, each with a name and an https address at a host of its own");
        if (escalation.RepeatMinutes is < 5 or > 1_440)
            Add(Of(nameof(escalation.RepeatMinutes)), "5 to 1440");
        if (escalation.UrgentMinutes < 1 || escalation.UrgentMinutes > escalation.RepeatMinutes)
            Add(Of(nameof(escalation.UrgentMinutes)), $"1 to {nameof(escalation.RepeatMinutes)}");
        if (escalation.UrgentHours is < 1 or > 24)
            Add(Of(nameof(escalation.UrgentHours)), "1 to 24");
        if (escalation.AuthorityFile is { } roots)
            Authorities(Of(nameof(escalation.AuthorityFile)), roots);
    }

    private void CheckWitnesses(WitnessOptions witnesses)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Witnesses)}.{name}";
        if (string.IsNullOrWhiteSpace(witnesses.PolicyFile) || !File.Exists(witnesses.PolicyFile))
            Add(Of(nameof(witnesses.PolicyFile)), "no such file");
        else
            try
            {
                Witnessing.PolicyIn(witnesses.PolicyFile);
            }
            catch (Exception wrong) when (wrong is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                Add(Of(nameof(witnesses.PolicyFile)), $"no policy (C2SP tlog-policy): {wrong.Message}");
            }
        if (witnesses.IntervalSeconds is < 1 or > 60)
            Add(Of(nameof(witnesses.IntervalSeconds)), "1 to 60");
        if (witnesses.TimeoutSeconds is < 1 or > 60)
            Add(Of(nameof(witnesses.TimeoutSeconds)), "1 to 60");
        if (witnesses.AlarmSeconds is < 10 or > 86_400)
            Add(Of(nameof(witnesses.AlarmSeconds)), "10 to 86,400");
        if (witnesses.AuthorityFile is { } roots)
            Authorities(Of(nameof(witnesses.AuthorityFile)), roots);
    }

    private void CheckSystem(string name, ProbeSystem? system)
    {
        if (system is null)
        {
            Add(name, "missing");
            return;
        }
        if (string.IsNullOrWhiteSpace(system.ClientId))
            Add($"{name}.{nameof(system.ClientId)}", "missing");
        if (!Oid.TryParse(system.Organisation, out _))
            Add($"{name}.{nameof(system.Organisation)}", "an OID");
        Secret($"{name}.{nameof(system.KeyFile)}", system.KeyFile);
        Certificate($"{name}.{nameof(system.CertificateFile)}", system.CertificateFile);
        Secret($"{name}.{nameof(system.CertificateKeyFile)}", system.CertificateKeyFile);
    }

    private void CheckIdentification(IdentificationOptions options)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Identification)}.{name}";
        Exists(Of(nameof(options.ClientsFile)), options.ClientsFile);
        Secret(Of(nameof(options.TokenKeyFile)), options.TokenKeyFile);
        var following = options.FollowingTokenKeys ?? [];
        for (var i = 0; i < following.Count; i++)
        {
            var at = $"{Of(nameof(options.FollowingTokenKeys))}[{i}]";
            Secret($"{at}.{nameof(FollowingTokenKey.File)}", following[i].File);
            // A time of day without Z is read as this machine's.
            if (following[i].SignsFrom.Offset != TimeSpan.Zero || following[i].SignsFrom <= (i == 0 ? default : following[i - 1].SignsFrom))
                Add($"{at}.{nameof(FollowingTokenKey.SignsFrom)}", "a moment in UTC, such as 2027-01-31T03:00:00Z, later than that of the key before it");
        }
        if (options.UpstreamAuthorityFile is { } authorities)
            Authorities(Of(nameof(options.UpstreamAuthorityFile)), authorities);
        if (options.AccessTokenSeconds is < 1 or > 300)
            Add(Of(nameof(options.AccessTokenSeconds)), "1 to 300");
        if (options.FailuresPerMinute < 1)
            Add(Of(nameof(options.FailuresPerMinute)), "1 or more");
        if (options.TokenRequestsPerMinute < 1)
            Add(Of(nameof(options.TokenRequestsPerMinute)), "1 or more");
        if (options.SignInsPerMinute < 1)
            Add(Of(nameof(options.SignInsPerMinute)), "1 or more");
        if (options.VerifiedTokens < 1_000)
            Add(Of(nameof(options.VerifiedTokens)), "1,000 or more");

        if (options.RoleRegister is { } register)
        {
            static string OfRegister(string name) => Of($"{nameof(IdentificationOptions.RoleRegister)}.{name}");
            if (!IsHttps(register.Address) || register.Address.EndsWith('/'))
                Add(OfRegister(nameof(register.Address)), "an https address without trailing slash");
            Certificate(OfRegister(nameof(register.CertificateFile)), register.CertificateFile);
            Secret(OfRegister(nameof(register.KeyFile)), register.KeyFile);
            if (register.TimeoutSeconds is < 1 or > 10)
                Add(OfRegister(nameof(register.TimeoutSeconds)), "1 to 10");
        }
        else if (!options.TestIdentityCodes && (options.ProfessionalIssuers is { Count: > 0 } || options.ProfessionalCards is not null))
            Add(Of(nameof(options.RoleRegister)), $"where rights to practise are looked up, unless {nameof(IdentificationOptions.TestIdentityCodes)} is set");

        foreach (var file in options.IdTokenKeyFiles ?? [])
            Secret(Of(nameof(options.IdTokenKeyFiles)), file);
        var issuers = options.ProfessionalIssuers ?? [];
        for (var i = 0; i < issuers.Count; i++)
        {
            var at = $"{Of(nameof(options.ProfessionalIssuers))}[{i}]";
            if (!IsHttps(issuers[i].Issuer))
                Add($"{at}.{nameof(ProfessionalIssuer.Issuer)}", "an https address");
            else if (issuers.Take(i).Any(other => other.Issuer == issuers[i].Issuer))
                Add($"{at}.{nameof(ProfessionalIssuer.Issuer)}", "each issuer speaks for one organisation and stands here once");
            // Without its id a token's tenant would not be looked at.
            if (issuers[i].Tenant is { } tenant
                ? !(Guid.TryParseExact(tenant, "D", out _) && issuers[i].Issuer?.EndsWith($"/{tenant}/v2.0", StringComparison.Ordinal) is true)
                : issuers[i].Issuer?.StartsWith("https://login.microsoftonline.com/", StringComparison.OrdinalIgnoreCase) is true)
                Add($"{at}.{nameof(ProfessionalIssuer.Tenant)}", "the GUID of an Entra ID tenant, with which the issuer ends: /id/v2.0");
            if (string.IsNullOrWhiteSpace(issuers[i].ProfessionalIdClaim))
                Add($"{at}.{nameof(ProfessionalIssuer.ProfessionalIdClaim)}", "missing");
            if (string.IsNullOrWhiteSpace(issuers[i].Audience))
                Add($"{at}.{nameof(ProfessionalIssuer.Audience)}", "missing");
            if (!Oid.TryParse(issuers[i].Organisation, out _))
                Add($"{at}.{nameof(ProfessionalIssuer.Organisation)}", "an OID");
            if (issuers[i].SignIn is { } signIn)
            {
                if (string.IsNullOrWhiteSpace(signIn.ClientId))
                    Add($"{at}.{nameof(ProfessionalIssuer.SignIn)}.{nameof(ProfessionalSignIn.ClientId)}", "missing");
                Certificate($"{at}.{nameof(ProfessionalIssuer.SignIn)}.{nameof(ProfessionalSignIn.CertificateFile)}", signIn.CertificateFile);
                Secret($"{at}.{nameof(ProfessionalIssuer.SignIn)}.{nameof(ProfessionalSignIn.KeyFile)}", signIn.KeyFile);
            }
        }

        if (options.Mandates is { } mandates)
            CheckMandates(mandates);
        if (options.Operators is { } operators)
            CheckOperators(operators);

        if (options.Citizens is not { } citizens)
        {
            Add(Of(nameof(options.Citizens)), "missing");
            return;
        }
        static string OfCitizens(string name) => Of($"{nameof(IdentificationOptions.Citizens)}.{name}");
        if (!IsHttps(citizens.Authority))
            Add(OfCitizens(nameof(citizens.Authority)), "an https address");
        if (string.IsNullOrWhiteSpace(citizens.ClientId))
            Add(OfCitizens(nameof(citizens.ClientId)), "missing");
        if (string.IsNullOrWhiteSpace(citizens.Acr))
            Add(OfCitizens(nameof(citizens.Acr)), "missing");
        // A broker's test identities are anybody's.
        else if (IsTest(citizens.Acr))
            Add(OfCitizens(nameof(citizens.Acr)), $"a level of real identification, unless {nameof(IdentificationOptions.TestIdentityCodes)} is set");
        var further = citizens.FurtherAcrs ?? [];
        if (further.Any(acr => string.IsNullOrWhiteSpace(acr) || IsTest(acr)))
            Add(OfCitizens(nameof(citizens.FurtherAcrs)), $"levels of real identification, unless {nameof(IdentificationOptions.TestIdentityCodes)} is set");
        // A sign-in names a level by the last part.
        if (further.Append(citizens.Acr).Where(acr => acr is not null).GroupBy(acr => acr[(acr.LastIndexOf('/') + 1)..]).Any(same => same.Count() > 1))
            Add(OfCitizens(nameof(citizens.FurtherAcrs)), $"levels whose names end differently, without {nameof(citizens.Acr)} again");
        if (citizens is { BrokerJwksFile: not null, BrokerSignedJwksKeyFile: not null })
            Add(OfCitizens(nameof(citizens.BrokerJwksFile)), $"not beside {nameof(citizens.BrokerSignedJwksKeyFile)}");
        // Else whoever holds a TLS certificate for the broker's name could identify as anybody.
        if (citizens is { BrokerJwksFile: null, BrokerSignedJwksKeyFile: null } && !options.TestIdentityCodes)
            Add(OfCitizens(nameof(citizens.BrokerJwksFile)), $"this or {nameof(citizens.BrokerSignedJwksKeyFile)}, unless {nameof(IdentificationOptions.TestIdentityCodes)} is set");
        if (citizens.BrokerJwksFile is { } pinned)
            Exists(OfCitizens(nameof(citizens.BrokerJwksFile)), pinned);
        if (citizens.BrokerSignedJwksKeyFile is { } signer)
            Exists(OfCitizens(nameof(citizens.BrokerSignedJwksKeyFile)), signer);
        bool IsTest(string acr) => acr.Contains("/loatest", StringComparison.OrdinalIgnoreCase) && !options.TestIdentityCodes;
        if (citizens.ServiceName is not { Length: > 0 and <= 40 })
            Add(OfCitizens(nameof(citizens.ServiceName)), "1 to 40 characters");
        Secret(OfCitizens(nameof(citizens.SigningKeyFile)), citizens.SigningKeyFile);
        Secret(OfCitizens(nameof(citizens.EncryptionKeyFile)), citizens.EncryptionKeyFile);
    }

    private void CheckMandates(MandateOptions mandates)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Identification)}.{nameof(IdentificationOptions.Mandates)}.{name}";
        // What is signed is the path alone, and browsers are led there.
        if (!IsHttps(mandates.Address) || new Uri(mandates.Address) is not { UserInfo: "" } address || address.GetLeftPart(UriPartial.Authority) != mandates.Address)
            Add(Of(nameof(mandates.Address)), "https://host or https://host:port, in lower case and without path or trailing slash");
        if (mandates.ClientId is not { Length: 8 } id || !id.All(char.IsAsciiLetterOrDigit))
            Add(Of(nameof(mandates.ClientId)), "8 letters and digits");
        Secret(Of(nameof(mandates.ApiKeyFile)), mandates.ApiKeyFile);
        Secret(Of(nameof(mandates.OAuthPasswordFile)), mandates.OAuthPasswordFile);
        if (!Uri.TryCreate(mandates.Theme, UriKind.Absolute, out _))
            Add(Of(nameof(mandates.Theme)), "the URI of a mandate theme");
        if (mandates.TimeoutSeconds is < 1 or > 10)
            Add(Of(nameof(mandates.TimeoutSeconds)), "1 to 10");
    }

    private void CheckOperators(OperatorOptions operators)
    {
        static string Of(string name) => $"{nameof(GatewayOptions.Identification)}.{nameof(IdentificationOptions.Operators)}.{name}";
        if (!IsHttps(operators.Authority) || operators.Authority.EndsWith('/'))
            Add(Of(nameof(operators.Authority)), "an https address without trailing slash");
        foreach (var (name, value) in new[]
        {
            (nameof(operators.Tenant), operators.Tenant), (nameof(operators.ClientId), operators.ClientId),
            (nameof(operators.OnboardingRole), operators.OnboardingRole), (nameof(operators.KeysRole), operators.KeysRole), (nameof(operators.DataProtectionRole), operators.DataProtectionRole),
        })
            if (string.IsNullOrWhiteSpace(value))
                Add(Of(name), "missing");
        // A password that is typed into the wrong page is all that it takes to onboard a clinic otherwise.
        if (operators is { Acrs: null, Amr: null or { Count: 0 } })
            Add(Of(nameof(operators.Acrs)), $"this or {nameof(operators.Amr)}: by what is known that somebody signed in by phishing-resistant means");
        if (operators.Acrs is { } context && string.IsNullOrWhiteSpace(context))
            Add(Of(nameof(operators.Acrs)), "an authentication context, such as c1");
        if (operators.Amr?.Any(string.IsNullOrWhiteSpace) is true)
            Add(Of(nameof(operators.Amr)), "values of amr, such as fido");
        if (operators.ErasureWaitDays is < 1 or > 90)
            Add(Of(nameof(operators.ErasureWaitDays)), "1 to 90");
        Certificate(Of(nameof(operators.CertificateFile)), operators.CertificateFile);
        Secret(Of(nameof(operators.KeyFile)), operators.KeyFile);
        Secret(Of(nameof(operators.LogKeyFile)), operators.LogKeyFile);
        if (!Directory.Exists(operators.LogFolder))
            Add(Of(nameof(operators.LogFolder)), "no such folder");
    }

    /// <summary>Nobody's certificates go unchecked by omission, and in production none do.</summary>
    private void CheckCards(IdentificationOptions options, CardOptions cards)
    {
        static string At(string name) => $"{nameof(IdentificationOptions.ProfessionalCards)}.{name}";
        Authorities($"{nameof(GatewayOptions.Identification)}.{At(nameof(cards.AuthorityFile))}", cards.AuthorityFile);
        CheckRevocation(options, cards.RevocationSources, At(nameof(cards.RevocationSources)), cards.AuthorityFile, At(nameof(cards.AuthorityFile)));
    }

    /// <param name="at">Name of the setting with the sources.</param>
    /// <param name="fileSetting">Name of the setting with the file of the authorities.</param>
    private void CheckRevocation(IdentificationOptions options, IReadOnlyList<RevocationSource>? stated, string at, string? authorityFile, string fileSetting)
    {
        var Of = $"{nameof(GatewayOptions.Identification)}.{at}";
        var sources = stated ?? [];
        var authorities = FingerprintsIn(authorityFile);
        for (var i = 0; i < sources.Count; i++)
        {
            var source = sources[i];
            void Wrong(string name, string rule) => Add($"{Of}[{i}].{name}", rule);
            if (!authorities.Any(source.IsOf))
                Wrong(nameof(source.Authority), $"the SHA-256 fingerprint of a certificate in {fileSetting}");
            if (source.CrlAddress is { } list && !IsWeb(list))
                Wrong(nameof(source.CrlAddress), "an http or https address");
            if (source.OcspAddress is { } responder && !IsWeb(responder))
                Wrong(nameof(source.OcspAddress), "an http or https address");
            if (source.CrlFile is { } file)
                Exists($"{Of}[{i}].{nameof(source.CrlFile)}", file);
            if (source is { CrlAddress: not null, CrlFile: not null })
                Wrong(nameof(source.CrlFile), $"not beside {nameof(source.CrlAddress)}");
            if (source.MaxAgeSeconds is < 60 or > 3600)
                Wrong(nameof(source.MaxAgeSeconds), "60 to 3,600");
            if (source.TimeoutSeconds is < 1 or > 10)
                Wrong(nameof(source.TimeoutSeconds), "1 to 10");
            var isNamed = source is not { CrlAddress: null, CrlFile: null, OcspAddress: null };
            if (!source.Unchecked && !isNamed)
                Wrong(nameof(source.OcspAddress), $"an address, unless there is a {nameof(source.CrlAddress)} or a {nameof(source.CrlFile)}");
            if (source.Unchecked && (isNamed || !options.TestIdentityCodes))
                Wrong(nameof(source.Unchecked), $"only where {nameof(IdentificationOptions.TestIdentityCodes)} is set, and beside no address or file");
        }
        foreach (var authority in authorities)
            if (sources.Count(source => source.IsOf(authority)) != 1)
                Add(Of, $"one entry for the authority {authority}");
    }

    private static List<string> FingerprintsIn(string? file)
    {
        var certificates = new X509Certificate2Collection();
        try
        {
            if (File.Exists(file))
                certificates.ImportFromPemFile(file);
        }
        catch (CryptographicException)
        {
            // Told when it is opened for use.
        }
        return [.. certificates.Select(certificate => RevocationSource.FingerprintOf(certificate.RawDataMemory.Span)).Distinct()];
    }

    private void CheckRedis(string connection, string name)
    {
        ConfigurationOptions parsed;
        try
        {
            parsed = ConfigurationOptions.Parse(connection);
        }
        catch (Exception malformed) when (malformed is ArgumentException or FormatException)
        {
            // Its message quotes the string, and that holds the password.
            Add(name, "not a connection string of StackExchange.Redis");
            return;
        }
        if (parsed.EndPoints.Count == 0)
            Add(name, "names no server");
        if (!string.IsNullOrEmpty(parsed.Password))
            Password(name, parsed.Password, parsed.User);
        if (parsed.EndPoints.All(IsHere))
            return;
        if (!parsed.Ssl)
            Add(name, "ssl=true, unless on a Unix socket or a loopback address");
        if (string.IsNullOrEmpty(parsed.Password))
            Add(name, "a password, unless on a Unix socket or a loopback address");
    }

    private static bool IsHere(EndPoint server) => server switch
    {
        UnixDomainSocketEndPoint => true,
        IPEndPoint { Address: var address } => IPAddress.IsLoopback(address),
        DnsEndPoint { Host: var host } => string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase),
        _ => false,
    };

    /// <summary>Port of an internal listener; null when there is none or it is wrong.</summary>
    private int? Loopback(string? text, string name)
    {
        if (text is null)
            return null;
        if (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttp && uri.PathAndQuery == "/"
            && IPAddress.TryParse(uri.Host, out var address) && IPAddress.IsLoopback(address) && uri.Port > 0)
            return uri.Port;
        Add(name, "http://127.0.0.1:port");
        return null;
    }

    private static bool IsWeb(string text) => Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.UserInfo.Length == 0 && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp);

    private static bool IsHttps(string? text) => Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps;
}
