set :application, "tinyd"
set :deploy_to, "/opt/bench-cap"
set :log_level, :info
set :format, :pretty

namespace :deploy do
  task :restart_unit do
    on roles(:web) do
      execute :sudo, :systemctl, :restart, "bench-cap.service"
    end
  end
  after :publishing, :restart_unit
end
