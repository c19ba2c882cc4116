using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Operations;
using KantaGateway.Postgres;
using KantaGateway.Telemetry;

if (args is [OpenLetters.Name or OpenLetters.KeyName, ..])
    return OpenLetters.Run(args, Console.Out);
// Beside the program, wherever it is started from.
var file = Path.Combine(AppContext.BaseDirectory, "appsettings.json");
OptionsCheck.RequirePrivateConfiguration(file, ("Gateway:" + nameof(GatewayOptions.Redis), GatewayOptions.HasPassword),
    ("Gateway:" + nameof(GatewayOptions.AuditPostgres), PostgresOptions.HasPassword), ("Gateway:" + nameof(GatewayOptions.AuditPostgresOwner), PostgresOptions.HasPassword));
var isCommand = args is [MigrateAudit.Name or MoveAudit.Name, ..];
var configuration = new ConfigurationBuilder().AddJsonFile(file, optional: true).AddEnvironmentVariables("KANTA_").AddCommandLine(isCommand ? args[1..] : args).Build();
var options = configuration.GetSection("Gateway").Get<GatewayOptions>(o => o.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("The section Gateway is missing from the configuration.");
if (isCommand)
    return args[0] == MoveAudit.Name ? await MoveAudit.RunAsync(options, Console.Out) : await MigrateAudit.RunAsync(options, Console.Out);
await GatewayHost.Build(options, builder => builder.Logging.AddLines()).RunAsync();
return 0;
