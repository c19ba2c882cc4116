using KantaGateway.Keys;
using KantaGateway.Telemetry;

var configuration = new ConfigurationBuilder().AddJsonFile("appsettings.json", optional: true).AddEnvironmentVariables("KANTA_").AddCommandLine(args).Build();
var options = configuration.GetSection("Keys").Get<KeysOptions>(binder => binder.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("The configuration has no section Keys.");
await using var app = KeysHost.Build(options, builder => builder.Logging.AddLines().AddFilter("Microsoft", LogLevel.Warning));
await app.RunAsync();
